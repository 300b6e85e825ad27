"""``hoverfast infer_wsi``: slides in, one result per slide out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hoverfast_platform.cli.options import compute_of, inference_options, settings_of
from hoverfast_platform.config import Scale, Tiling


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
    "-l",
    "--magnification",
    type=float,
    help="Magnification a published checkpoint works at: 40 is 0.25 um per pixel. Our own models "
    "say it themselves.",
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
    help="Coarsest slide accepted, times the model's mpp.",
)
@click.option("--zarr", "with_zarr", is_flag=True, help="Write OME-Zarr labels, <stem>.zarr, too.")
@click.option(
    "--qupath-zip-above",
    type=int,
    default=500_000,
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
    from hoverfast_platform.cli.inputs import expand
    from hoverfast_platform.cli.run_slides import segment_all
    from hoverfast_platform.ingest.units import list_slides

    settings = settings_of(
        options,
        scale=Scale(mpp_override=options["mpp"], max_upsampling=options["max_upsampling"]),
        tiling=Tiling(tile_size_px=options["tile_size"]),
    )
    n_failed = segment_all(
        expand(slides, lambda folder: list_slides(folder).units),
        outdir,
        mask_dir=options["mask_dir"],
        model=options["model"],
        magnification=options["magnification"],
        settings=settings,
        compute=compute_of(options),
        with_zarr=options["with_zarr"],
        qupath_zip_above=options["qupath_zip_above"],
        pseudonyms=options["pseudonyms"],
    )
    if n_failed:
        raise click.exceptions.Exit(1)
