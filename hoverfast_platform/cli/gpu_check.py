"""``hoverfast gpu-check``: whether a GPU finds what the CPU finds, and how fast."""

from __future__ import annotations

from pathlib import Path

import click

from hoverfast_platform.cli.say import say


@click.command("gpu-check")
@click.option(
    "-o", "--outdir", default=Path("gpu-check"), show_default=True,
    type=click.Path(path_type=Path), help="For gpu-check.json.",
)  # fmt: skip
@click.option(
    "--tiles", required=True, type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of images full of tissue at 0.25 um/px, each at least 512 px.",
)  # fmt: skip
@click.option(
    "--budget-s", type=float, default=400, show_default=True,
    help="Seconds for the whole check; the most important parts run first.",
)  # fmt: skip
@click.option("--parts", default="", help="Only these parts, separated by commas. Default: all.")
@click.option(
    "--device",
    default="cuda:0",
    show_default=True,
    help="cpu runs the check without a GPU, to try the check itself.",
)
@click.option("-m", "--model", default="cross-organ", show_default=True, help="Name or file.")
@click.option("--areas", default="1,4,10,100", show_default=True, help="Areas of the slides, mm2.")
@click.option("--hoverfast", type=click.Path(path_type=Path, exists=True), help="Its checkout.")
@click.option("--hovernet", type=click.Path(path_type=Path, exists=True), help="Its checkout.")
def command(  # noqa: PLR0913 - one per option
    outdir: Path,
    tiles: Path,
    budget_s: float,
    parts: str,
    device: str,
    model: str,
    areas: str,
    hoverfast: Path | None,
    hovernet: Path | None,
) -> None:
    """Check a GPU: equality with the CPU, throughput of whole slides, kernels, training."""
    from hoverfast_platform.use_cases.gpu_check import GpuCheckRequest, check_gpu

    request = GpuCheckRequest(
        out_dir=outdir,
        tiles=tiles,
        budget_s=budget_s,
        parts=parts.split(",") if parts else (),
        device=device,
        model=model,
        areas=areas,
        hoverfast=hoverfast,
        hovernet=hovernet,
    )
    say(check_gpu(request))
