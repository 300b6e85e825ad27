"""The loop behind ``infer_roi``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from hoverfast_platform.cli.inputs import check_name, printable
from hoverfast_platform.config import Compute, SegmentationSettings
from hoverfast_platform.errors import HoverFastError, Interrupted, UnreadableSlideError
from hoverfast_platform.files import file_sha256
from hoverfast_platform.inference.engine import SegmentationEngine
from hoverfast_platform.inference.segment_image import roi_summary, segment_image
from hoverfast_platform.model.registry import DEFAULT_MODEL
from hoverfast_platform.storage.flat_images import read_rgb
from hoverfast_platform.storage.previews import Line
from hoverfast_platform.storage.roi_files import publish_roi


def segment_images(  # noqa: PLR0913 - what the command line says, once
    images: Sequence[Path],
    out_dir: Path,
    *,
    mpp: float | None,
    model: str | None,
    line: Line,
    settings: SegmentationSettings,
    compute: Compute,
) -> int:
    """Segment images one after another; returns how many failed."""
    n_failed = 0
    with SegmentationEngine.of(model or DEFAULT_MODEL, compute) as engine:
        if mpp is None:
            click.echo(
                f"No --mpp was given: images are taken to have {engine.model.card.mpp} um per "
                "pixel, the model's own. If they have not, sizes and nuclei are wrong.",
                err=True,
            )
        for path in images:
            try:
                check_name(path)
                rgb = read_rgb(path)
                found = segment_image(
                    rgb, mpp=mpp or engine.model.card.mpp, engine=engine, settings=settings
                )
                summary = roi_summary(path.name, _sha256(path), found, engine, settings, mpp)
                publish_roi(
                    out_dir, path.stem, rgb, found.nuclei, found.instance_map, summary, line
                )
            except Interrupted:
                raise
            except HoverFastError as error:
                n_failed += 1
                click.echo(f"{printable(path.name)}: FAILED ({error.kind}): {error}", err=True)
            else:
                click.echo(f"{path.name}: {len(found.nuclei)} nuclei")
                if summary.dab is not None and summary.dab.h_score is not None:
                    share = 100 * (summary.dab.positive_fraction or 0)
                    click.echo(f"  DAB: {share:.1f} % positive, H-score {summary.dab.h_score:.0f}")
                for warning in found.warnings:
                    click.echo(f"  note: {warning}")
    if n_failed:
        click.echo(f"{n_failed} of {len(images)} images failed.", err=True)
    return n_failed


def _sha256(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError as error:
        raise UnreadableSlideError(f"{path} cannot be read: {error.strerror}.") from error
