"""``hoverfast summarise``: counts and densities of results, per slide or per region."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hoverfast_platform.cli.say import say

if TYPE_CHECKING:
    from hoverfast_platform.regions.region_table import SlideFigures


@click.command("summarise")
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option(
    "--regions",
    type=click.Path(path_type=Path),
    help="GeoJSON of one slide's regions (QuPath's export), or a folder of <slide>.geojson. "
    "Without it a row is a slide.",
)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The table, .csv or .parquet. [default: regions or slides, as .csv and .parquet, in the "
    "folder of the first result]",
)
@click.option(
    "--neighbours",
    "with_neighbours",
    is_flag=True,
    help="Add up what `hoverfast neighbours` measured, too.",
)
@click.option(
    "--page",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write an HTML page that compares the slides: distributions, density maps, outliers. "
    "Without --regions only.",
)
@click.option(
    "--cohorts",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="CSV with the columns slide and cohort: the page compares cohorts, too.",
)
@click.option("--mpp", type=float, help="Micrometres per pixel, for GeoJSON that does not say.")
def command(
    results: tuple[Path, ...],
    regions: Path | None,
    out: Path | None,
    page: Path | None,
    cohorts: Path | None,
    **counted: Any,
) -> None:
    """Count the nuclei of RESULTS: folders of infer_wsi, .parquet of slides, GeoJSON of nuclei.

    One table for all: nuclei, densities per mm2, areas, stains; for IHC the positive fraction and
    the H-score; per class where nuclei have classes. No slide is needed.
    """
    from hoverfast_platform.cli.show import exit_with, show_failure
    from hoverfast_platform.regions.region_table import REGIONS_TABLE, as_table, write_region_table
    from hoverfast_platform.reports.cohort_comparison import read_cohorts
    from hoverfast_platform.reports.slides_page import write_slides_page
    from hoverfast_platform.storage.publish import TABLE
    from hoverfast_platform.use_cases.summarise import results_in, summarise

    if page is not None and regions is not None:
        raise click.UsageError("--page compares whole slides; leave --regions out.")
    if cohorts is not None and page is None:
        raise click.UsageError("--cohorts says what the page compares; give --page, too.")
    cohorts_of = read_cohorts(cohorts) if cohorts is not None else {}
    paths = results_in(results)
    tables: dict[str, Path] = {}
    done: list[SlideFigures] = []
    n_failed = 0
    for outcome in summarise(paths, regions=regions, **counted):
        if outcome.product is None:
            n_failed += 1
            show_failure(outcome)
        else:
            done.append(outcome.product.figures)
            if outcome.item.name.endswith(TABLE):
                tables[outcome.product.figures.slide] = outcome.item
            _show(outcome.product.figures, outcome.product.notes)
    stem = REGIONS_TABLE if regions is not None else "slides"
    targets = [out] if out else [paths[0].with_name(f"{stem}{end}") for end in (".csv", ".parquet")]
    if done:
        for target in targets:
            write_region_table(target, done)
        say(f"table   {', '.join(map(str, targets))}")
        if page is not None:
            rows = [row for row in as_table(done).to_pylist() if not row["nucleus_class"]]
            say(f"page    {write_slides_page(page, rows, tables, cohorts_of)}")
    exit_with(n_failed, len(paths), "results")


def count_in_regions(tables: Sequence[Path], regions: Path, outdir: Path) -> None:
    """After a run: count what it found, and bring the folder's table of regions up to date."""
    from hoverfast_platform.cli.show import show_failure
    from hoverfast_platform.regions.region_table import update_region_table
    from hoverfast_platform.use_cases.summarise import summarise

    done: list[SlideFigures] = []
    for outcome in summarise(tables, regions=regions):
        if outcome.product is None:
            show_failure(outcome)
        else:
            done.append(outcome.product.figures)
            _show(outcome.product.figures, ())
    if done:
        say(f"regions {', '.join(map(str, update_region_table(outdir, done)))}")


def _show(figures: SlideFigures, notes: Sequence[str]) -> None:
    from hoverfast_platform.cli.show import show_each_note

    for row in figures.rows:
        if row.nucleus_class:
            continue
        where = f"{figures.slide}, {row.region}" if row.region else figures.slide
        tissue, density = row.tissue_area_mm2, row.nuclei_per_mm2
        say(
            f"{where}: {row.n_nuclei} nuclei"
            + (f" on {tissue:.4f} mm2 of tissue" if tissue is not None else "")
            + (f", {density:.0f} per mm2" if density is not None else "")
        )
    show_each_note(notes)
