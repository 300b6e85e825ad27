"""``hoverfast infer_roi``: flat images in, one result per image out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hoverfast_platform.cli.options import compute_of, inference_options, settings_of


@click.command("infer_roi")
@click.argument("images", nargs=-1, required=True)
@click.option(
    "--mpp",
    type=float,
    help="Micrometres per pixel of the images. Without it they are taken to have the model's, as "
    "the published tool does; every result says so.",
)
@click.option(
    "-w", "--width", "width_px", type=int, default=2, show_default=True, help="Of overlay lines."
)
@click.option(
    "-c",
    "--color",
    default="limegreen",
    show_default=True,
    help="Of overlay lines: a CSS name, a letter of rgbcmykw, or #rrggbb.",
)
@inference_options
def command(images: tuple[str, ...], outdir: Path, **options: Any) -> None:
    """Find the nuclei of IMAGES of any size and colour mode: files, folders, a quoted pattern.

    Results lie in OUTDIR/json (QuPath), OUTDIR/label_mask (32-bit TIFF), OUTDIR/overlay (PNG)
    and OUTDIR/summary. An image that fails does not stop the others; the exit code is 1 if any
    failed.
    """
    from hoverfast_platform.cli.inputs import expand
    from hoverfast_platform.cli.run_images import segment_images
    from hoverfast_platform.storage.flat_images import list_images
    from hoverfast_platform.storage.previews import Line

    n_failed = segment_images(
        expand(images, list_images),
        outdir,
        mpp=options["mpp"],
        model=options["model"],
        line=Line.of(options["color"], options["width_px"]),
        settings=settings_of(options),
        compute=compute_of(options),
    )
    if n_failed:
        raise click.exceptions.Exit(1)
