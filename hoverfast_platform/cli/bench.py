"""``hoverfast bench``: seconds, memory and disk of whole runs, on slides anybody can make."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


@click.command("bench")
@click.option(
    "-o", "--outdir", required=True, type=click.Path(path_type=Path), help="For bench.json."
)
@click.option(
    "--tiles",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of images full of tissue at 0.25 um/px to compose slides of. Default: synthetic.",
)
@click.option("--side", "side_px", type=int, default=2048, show_default=True, help="Of area 1x.")
@click.option(
    "--areas",
    default="1,4,16",
    show_default=True,
    help="Areas of the slides, times that of --side.",
)
@click.option(
    "--tissue", default="0,50,100", show_default=True, help="Percent of a slide that is tissue."
)
@click.option(
    "--rounds", "n_rounds", type=int, default=3, show_default=True, help="Of every slide."
)
@click.option("-m", "--model", default="", help="Built-in name or file.")
@click.option(
    "--precision", default="auto", show_default=True, help="auto, fp32, bf16, int8, fp16."
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, mps.")
@click.option(
    "--against",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Checkout of the published HoverFast: run in turn with it, same weights and mask.",
)
@click.option(
    "--against-precision",
    type=click.Choice(["fp32", "fp16"]),
    default="fp32",
    show_default=True,
    help="fp16 is what it does by itself; CPUs emulate that.",
)
def command(outdir: Path, **options: Any) -> None:
    """Measure this machine: seconds per mm2, nuclei per second, peak memory, disk.

    Slides of several areas and tissue fractions are composed, and each is segmented by a
    process of its own, in turn, several times. Leave the machine alone meanwhile.
    """
    from hoverfast_platform.cli.run_benchmark import BenchmarkRequest, run

    run(BenchmarkRequest(outdir=outdir, **options))
