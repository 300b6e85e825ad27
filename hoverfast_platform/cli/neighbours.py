"""``hoverfast neighbours``: how nuclei lie among each other."""

from __future__ import annotations

from pathlib import Path

import click

from hoverfast_platform.cli.say import say


@click.command("neighbours")
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option(
    "--nearest",
    "n_nearest",
    type=int,
    default=5,
    show_default=True,
    help="How many nearest nuclei the mean distance is taken over.",
)
@click.option(
    "--radius",
    "radius_um",
    type=float,
    default=50.0,
    show_default=True,
    help="Radius of the circle in which nuclei are counted, micrometres.",
)
@click.option(
    "--max-edge",
    "max_edge_um",
    type=float,
    default=50.0,
    show_default=True,
    help="Longest edge of the Delaunay triangulation that makes neighbours, micrometres.",
)
def command(results: tuple[Path, ...], **options: float) -> None:
    """Measure the neighbourhood of the nuclei of RESULTS: folders of infer_wsi, .parquet of slides.

    Writes <slide>.neighbours.parquet beside each: distances to the nearest nuclei, local density,
    neighbours in the Delaunay triangulation. `hoverfast summarise --neighbours` adds it up.
    """
    from hoverfast_platform.cli.show import exit_with, show_failure
    from hoverfast_platform.neighbourhood.measure import NeighbourhoodSettings
    from hoverfast_platform.use_cases.neighbours import measure_neighbours
    from hoverfast_platform.use_cases.summarise import results_in

    paths, n_failed = results_in(results), 0
    settings = NeighbourhoodSettings.model_validate(options)
    for outcome in measure_neighbours(paths, settings=settings):
        if outcome.product is None:
            n_failed += 1
            show_failure(outcome)
            continue
        say(f"{outcome.product.path}: {outcome.product.n_nuclei} nuclei")
        for note in outcome.product.notes:
            say(f"  note: {note}")
    exit_with(n_failed, len(paths), "results")
