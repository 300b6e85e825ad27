"""``hoverfast infer_roi``: flat images in, one result per image out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hoverfast_platform.cli.options import compute_of, inference_options, settings_of
from hoverfast_platform.cli.say import say


@click.command("infer_roi")
@click.argument("images", nargs=-1, required=True)
@click.option(
    "--mpp",
    type=float,
    help="Micrometres per pixel of the images. Without it they are taken to have the model's, as "
    "the published tool does; every result says so.",
)
@click.option(
    "-w",
    "--width",
    "width_px",
    type=int,
    default=2,
    show_default=True,
    help="Width of overlay lines.",
)
@click.option(
    "-c",
    "--color",
    default="limegreen",
    show_default=True,
    help="Colour of overlay lines: a CSS name, a letter of rgbcmykw, or #rrggbb.",
)
@inference_options
def command(images: tuple[str, ...], outdir: Path, **options: Any) -> None:
    """Find the nuclei of IMAGES of any size and colour mode: files, folders, a quoted pattern.

    Results lie in OUTDIR/json (QuPath), OUTDIR/label_mask (32-bit TIFF), OUTDIR/overlay (PNG)
    and OUTDIR/summary. An image that fails does not stop the others; the exit code is 1 if any
    failed.
    """
    from hoverfast_platform.cli.inputs import expand
    from hoverfast_platform.cli.show import exit_with, show_failure, show_notes
    from hoverfast_platform.inference.engine import SegmentationEngine
    from hoverfast_platform.model.registry import shipped_for
    from hoverfast_platform.storage.flat_images import list_images
    from hoverfast_platform.storage.previews import Line
    from hoverfast_platform.use_cases.segment_images import segment_images

    mpp, paths, n_failed = options["mpp"], expand(images, list_images), 0
    line = Line.of(options["color"], options["width_px"])
    settings = settings_of(options)
    with SegmentationEngine.of(options["model"] or shipped_for(mpp), compute_of(options)) as engine:
        if mpp is None:
            say(
                f"No --mpp was given: images are taken to have {engine.model.card.mpp} um per "
                "pixel, the model's own. If they have not, sizes and nuclei are wrong.",
                err=True,
            )
        for outcome in segment_images(
            paths, outdir, engine=engine, line=line, mpp=mpp, settings=settings
        ):
            if outcome.product is None:
                n_failed += 1
                show_failure(outcome)
            else:
                summary = outcome.product.summary
                say(f"{outcome.item.name}: {summary.n_nuclei} nuclei")
                show_notes(summary.dab, summary.warnings)
    exit_with(n_failed, len(paths), "images")
