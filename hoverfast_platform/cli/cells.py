"""``hoverfast cells``: cells around the nuclei of results."""

from __future__ import annotations

from pathlib import Path

import click

from hoverfast_platform.cli.say import say


@click.command("cells")
@click.argument("result", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--distance",
    "distance_um",
    type=float,
    default=5.0,
    show_default=True,
    help="How far a cell reaches beyond its nucleus, micrometres; never across a neighbour.",
)
@click.option(
    "--slide",
    type=click.Path(path_type=Path, exists=True),
    help="The slide's file, to measure stains in nucleus, cytoplasm and cell.",
)
@click.option(
    "--part",
    type=click.Choice(["cell", "cytoplasm"]),
    default="cell",
    show_default=True,
    help="What is written for QuPath: cells with their nuclei, or their cytoplasm alone.",
)
def command(result: Path, distance_um: float, slide: Path | None, part: str) -> None:
    """Grow the nuclei of RESULT, OUT/<slide>.parquet, into cells.

    Writes <slide>.cells.json.gz for QuPath (cells with a nucleus; with --part cytoplasm
    <slide>.cytoplasm.json.gz) and <slide>.cells.parquet with a row for each, beside RESULT.
    """
    from hoverfast_platform.cells.cell_files import CellPart
    from hoverfast_platform.cells.expansion import CellExpansion
    from hoverfast_platform.use_cases.expand_cells import expand_cells

    expansion = CellExpansion(distance_um=distance_um)
    done = expand_cells(result, expansion=expansion, slide=slide, part=CellPart(part))
    say(f"{result.name}: {done.n_cells} cells")
    if done.n_written < done.n_cells:
        say(f"  note: {done.n_cells - done.n_written} cells have no {part}")
    for note in done.notes:
        say(f"  note: {note}")
    say(f"  QuPath  {done.qupath_path}\n  table   {done.table_path}")
