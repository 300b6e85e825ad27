"""``hoverfast infer_roi``: flat images in, one result per image out."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("infer_roi")
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o", "--outdir", required=True, type=click.Path(path_type=Path), help="Folder for results."
)
@click.option("--mpp", required=True, type=float, help="Micrometres per pixel of the images.")
@click.option("-m", "--model", default=None, help="Built-in name or a file.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, mps.")
def command(
    images: tuple[Path, ...], outdir: Path, mpp: float, model: str | None, device: str
) -> None:
    """Find the nuclei of IMAGES of any size and colour mode.

    Results lie in OUTDIR/json (QuPath), OUTDIR/label_mask (32-bit TIFF) and OUTDIR/overlay
    (PNG). An image that fails does not stop the others; the exit code is 1 if any failed.
    """
    from hoverfast_platform.cli.run_images import segment_images

    if segment_images(images, outdir, mpp=mpp, model=model, device=device):
        raise click.exceptions.Exit(1)
