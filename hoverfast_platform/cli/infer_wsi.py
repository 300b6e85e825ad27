"""``hoverfast infer_wsi``: slides in, one result per slide out."""

from __future__ import annotations

from pathlib import Path

import click

from hoverfast_platform.config import Compute, Scale, SegmentationSettings, Tiling


@click.command("infer_wsi")
@click.argument("slides", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o", "--outdir", required=True, type=click.Path(path_type=Path), help="Folder for results."
)
@click.option("-m", "--model", default=None, help="Built-in name (`hoverfast models`) or a file.")
@click.option(
    "-b",
    "--binmask-dir",
    type=click.Path(path_type=Path),
    help="Folder of tissue masks: HistoQC's output, or <slide>.png. Default: built-in detection.",
)
@click.option(
    "-r",
    "--tile-size",
    type=int,
    default=Tiling().tile_size_px,
    show_default=True,
    help="Largest tile, pixels at the model's mpp.",
)
@click.option(
    "-n",
    "--workers",
    type=int,
    default=0,
    help="Post-processing processes; 0 fits the available cores.",
)
@click.option(
    "-g",
    "--batch-size",
    type=int,
    default=0,
    help="Regions predicted together; 0 fits free memory.",
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
@click.option(
    "--precision",
    default="auto",
    show_default=True,
    help="Of the network: auto, fp32, bf16, fp16 (GPU), int8 (CPU); part of a result's identity.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, mps.")
def command(slides: tuple[Path, ...], outdir: Path, **options: object) -> None:
    """Find the nuclei of SLIDES.

    A result is OUTDIR/<stem>.json.gz (drag it into QuPath), .parquet, .preview.jpg and
    .summary.json. A slide that fails does not stop the others; the exit code is 1 if any
    failed. Run again to go on after an interruption: what is done is not done again.
    """
    from hoverfast_platform.cli.run_slides import segment_all

    settings = SegmentationSettings(
        scale=Scale(mpp_override=options["mpp"], max_upsampling=options["max_upsampling"]),
        tiling=Tiling(tile_size_px=options["tile_size"]),
    )
    compute = Compute(
        device=options["device"],
        precision=options["precision"],
        n_workers=options["workers"],
        batch_size=options["batch_size"],
    )
    mask_dir = options["binmask_dir"]
    n_failed = segment_all(
        slides,
        outdir,
        mask_dir=mask_dir if isinstance(mask_dir, Path) else None,
        model=str(options["model"]) if options["model"] else None,
        settings=settings,
        compute=compute,
    )
    if n_failed:
        raise click.exceptions.Exit(1)
