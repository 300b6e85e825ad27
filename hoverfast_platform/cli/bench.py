"""``hoverfast bench``: seconds, memory and disk of whole runs, on slides anybody can make."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hoverfast_platform.cli.say import say


@click.command("bench")
@click.option(
    "-o", "--outdir", required=True, type=click.Path(path_type=Path), help="For bench.json."
)
@click.option(
    "--tiles",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of images full of tissue at 0.25 um/px to compose slides of. Default: synthetic.",
)
@click.option(
    "--side",
    "side_px",
    type=int,
    default=2048,
    show_default=True,
    help="Side of the slide of area 1x.",
)
@click.option(
    "--areas",
    default="1,4,16",
    show_default=True,
    help="Areas of the slides, as multiples of the area that --side gives.",
)
@click.option(
    "--tissue", default="0,50,100", show_default=True, help="Percent of a slide that is tissue."
)
@click.option(
    "--rounds",
    "n_rounds",
    type=int,
    default=3,
    show_default=True,
    help="How often every slide is run.",
)
@click.option("-m", "--model", default="", help="Built-in name or file.")
@click.option(
    "--precision", default="auto", show_default=True, help="auto, fp32, bf16, int8, fp16."
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, mps.")
@click.option(
    "--against",
    type=(click.Choice(["hoverfast", "hovernet"]), click.Path(path_type=Path, file_okay=False)),
    multiple=True,
    metavar="TOOL CHECKOUT",
    help=(
        "Also run a published program, in turns with ours, from its checkout: hoverfast "
        "(same weights and mask) or hovernet (same mask). May be given once for each."
    ),
)
@click.option(
    "--against-precision",
    type=click.Choice(["fp32", "fp16"]),
    default="fp32",
    show_default=True,
    help="Precision of hoverfast. It uses fp16 by itself; CPUs emulate that.",
)
@click.option(
    "--hovernet-weights",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Published HoVer-Net checkpoint, fast mode, no types. Default: weights that find nothing.",
)
@click.option(
    "--parts",
    default="slides,engines,steps,start",
    show_default=True,
    help="What to measure: slides (whole runs), engines (the network alone), steps (on one "
    "region), start (a fresh process until its first tile of 256 px, and each further tile).",
)
@click.option(
    "--nuclei",
    "n_nuclei",
    type=int,
    default=0,
    help="Also write, validate and read so many nuclei; 1000000 takes two minutes.",
)
@click.option(
    "--labelled",
    type=click.Path(path_type=Path, exists=True),
    help="Also score the post-processing, ours and the published one, on this labelled set.",
)
@click.option(
    "--groups",
    default="",
    help="Only these groups (patients) of the labelled set, separated by commas.",
)
def command(outdir: Path, against: tuple[tuple[str, Path], ...], **options: Any) -> None:
    """Measure this machine: seconds per mm2, nuclei per second, peak memory, disk.

    Slides of several areas and tissue fractions are composed, and each is segmented by a
    process of its own, in turn, several times. Leave the machine alone meanwhile.
    """
    from hoverfast_platform.benchmark.benchmark_report import report_text
    from hoverfast_platform.cli.show import progress_bar
    from hoverfast_platform.use_cases.benchmark import BenchmarkRequest, run_benchmark

    request = BenchmarkRequest(outdir=outdir, against=dict(against), **options)
    with progress_bar("bench", "round") as show:
        measured = run_benchmark(request, on_progress=show)
    say(f"\n{report_text(measured)}\n\n{outdir / 'bench.json'}")
