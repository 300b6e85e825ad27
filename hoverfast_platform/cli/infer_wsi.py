"""``hoverfast infer_wsi``: slides in, one result per slide out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hoverfast_platform.cli.options import compute_of, inference_options, settings_of
from hoverfast_platform.cli.say import say
from hoverfast_platform.config import Scale, Tiling

if TYPE_CHECKING:
    from hoverfast_platform.inference.engine import SegmentationEngine
    from hoverfast_platform.inference.segment_slide import SegmentedSlide
    from hoverfast_platform.use_cases.engines import ShippedEngines


@click.command("infer_wsi")
@click.argument("slides", nargs=-1, required=True)
@click.option(
    "-b",
    "--binmask_dir",
    "--binmask-dir",
    "mask_dir",
    type=click.Path(path_type=Path),
    help="Tissue masks: the folder of `hoverfast mask`, HistoQC's output, a folder of <slide>.png, "
    "or a table with the columns slide and mask. Default: built-in detection.",
)
@click.option(
    "--regions",
    type=click.Path(path_type=Path),
    help="GeoJSON of regions (QuPath's export), or a folder of <slide>.geojson: work in them only, "
    "and write OUTDIR/regions.csv and .parquet with what each holds.",
)
@click.option(
    "-l",
    "--magnification",
    type=float,
    help="Magnification to work at: 40 is 0.25 um per pixel. Without -m it chooses the model that "
    "ships for it; with -m it says what a published checkpoint does not say itself. Without "
    "either, each slide has the model that ships for its scale.",
)
@click.option(
    "-t",
    "--tile_size",
    "--tile-size",
    "tile_size",
    type=int,
    default=Tiling().tile_size_px,
    show_default=True,
    help="Largest tile, pixels at the model's mpp.",
)
@click.option(
    "--mpp",
    type=float,
    help="Micrometres per level-0 pixel, instead of what the files say; recorded.",
)
@click.option(
    "--max-upsampling",
    type=float,
    default=Scale().max_upsampling,
    show_default=True,
    help="Coarsest slide that is accepted: its mpp divided by the model's.",
)
@click.option("--zarr", "with_zarr", is_flag=True, help="Write OME-Zarr labels, <stem>.zarr, too.")
@click.option(
    "--qupath-zip-above",
    type=int,
    default=250_000,
    show_default=True,
    help="Slides with more nuclei get <stem>.qupath.zip too, in pieces QuPath can hold.",
)
@click.option(
    "--pseudonyms",
    is_flag=True,
    help="Name results after the slide's content, slide-<digest>, instead of after its file, whose "
    "name may say whose it is. catalogue.sqlite knows which is which: keep it, pass on the others.",
)
@inference_options
def command(slides: tuple[str, ...], outdir: Path, **options: Any) -> None:
    """Find the nuclei of SLIDES: files, folders, or a quoted pattern.

    A result is OUTDIR/<stem>.json.gz (drag it into QuPath), .parquet, .preview.jpg and
    .summary.json. A slide that fails does not stop the others; the exit code is 1 if any
    failed. Run again to go on after an interruption: what is done is not done again.
    """
    from hoverfast_platform.catalogue import Catalogue
    from hoverfast_platform.catalogue.database import CATALOGUE_NAME
    from hoverfast_platform.cli.inputs import expand
    from hoverfast_platform.cli.show import Bars, exit_with, show_failure
    from hoverfast_platform.cli.summarise import count_in_regions
    from hoverfast_platform.ingest.units import list_slides
    from hoverfast_platform.use_cases.segment_slides import ResultOptions, segment_slides

    settings = settings_of(
        options,
        scale=Scale(mpp_override=options["mpp"], max_upsampling=options["max_upsampling"]),
        tiling=Tiling(tile_size_px=options["tile_size"]),
    )
    paths = expand(slides, lambda folder: list_slides(folder).units)
    n_failed, tables = 0, []
    with (
        _engines(options) as engine,
        Catalogue.open(outdir / CATALOGUE_NAME) as catalogue,
        Bars("tile") as bars,
    ):
        for outcome in segment_slides(
            paths,
            outdir,
            engine=engine,
            catalogue=catalogue,
            masks=options["mask_dir"],
            regions=options["regions"],
            settings=settings,
            results=ResultOptions(
                options["with_zarr"], options["qupath_zip_above"], options["pseudonyms"]
            ),
            progress_of=bars.of,
        ):
            bars.close()
            if outcome.product is None:
                n_failed += 1
                show_failure(outcome)
            else:
                _show(outcome.product)
                tables.append(outcome.product.table_path)
    if options["regions"] is not None:
        count_in_regions(tables, options["regions"], outdir)
    exit_with(n_failed, len(paths), "slides")


def _engines(options: dict[str, Any]) -> SegmentationEngine | ShippedEngines:
    """The engine of the model that is asked for, or those of the models that ship."""
    from hoverfast_platform.inference.engine import SegmentationEngine
    from hoverfast_platform.use_cases.engines import ShippedEngines
    from hoverfast_platform.use_cases.segment_slides import model_at

    def tell(engine: SegmentationEngine) -> None:
        say(f"Model {engine.model.source.title} on {engine.arithmetic}, {engine.n_workers} workers")

    compute, name, magnification = compute_of(options), options["model"], options["magnification"]
    if name is None and magnification is None:
        return ShippedEngines(compute, tell)
    engine = SegmentationEngine.of(model_at(name, magnification), compute, for_slides=True)
    tell(engine)
    return engine


def _show(done: SegmentedSlide) -> None:
    from hoverfast_platform.cli.show import show_notes

    summary = done.summary
    speed = summary.seconds_per_mm2
    say(
        f"{done.slide_info.name}: {summary.n_nuclei} nuclei on "
        f"{summary.tissue_area_mm2:.3f} mm2 of tissue"
        + (f", {speed:.1f} s/mm2" if speed is not None else "")
        + (" (already done)" if done.was_done else "")
    )
    show_notes(summary.dab, summary.warnings)
    say(f"  QuPath  {done.qupath_path}\n  table   {done.table_path}")
    say(f"  preview {done.preview_path}")
