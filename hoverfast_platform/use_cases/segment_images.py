"""Flat images to published results."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from hoverfast_platform.arrays import RgbImage
from hoverfast_platform.config import SegmentationSettings
from hoverfast_platform.cores import available_cores
from hoverfast_platform.errors import UnreadableSlideError
from hoverfast_platform.files import file_sha256
from hoverfast_platform.inference.engine import SegmentationEngine
from hoverfast_platform.inference.segment_image import (
    SegmentedImage,
    image_summary,
    segment_image,
)
from hoverfast_platform.ingest.names import check_name
from hoverfast_platform.storage.flat_images import read_flat_image
from hoverfast_platform.storage.previews import Line
from hoverfast_platform.storage.roi_files import publish_roi
from hoverfast_platform.storage.summary import SegmentationSummary
from hoverfast_platform.use_cases.outcome import Outcome, each


@dataclass(frozen=True)
class PublishedImage:
    """Nuclei of a flat image, and the summary that was published with them."""

    found: SegmentedImage
    summary: SegmentationSummary


_AT_ONCE = 3
"""Images in hand: while one is predicted, others are read and decoded, and one is written."""

_LARGE_FILE_BYTES = 2**23
"""A JPEG of so many bytes has tens of megapixels: such images are taken one after another."""

ImageOutcome: TypeAlias = Outcome[Path, PublishedImage]


def segment_images(
    images: Iterable[Path],
    out_dir: Path,
    *,
    engine: SegmentationEngine,
    line: Line,
    mpp: float | None = None,
    settings: SegmentationSettings = SegmentationSettings(),
) -> Iterator[ImageOutcome]:
    """Find the nuclei of flat images and publish each; one outcome per image, in order.

    Args:
        images: Image files.
        out_dir: Gets ``json/``, ``label_mask/``, ``overlay/`` and ``summary/``.
        engine: Model and device.
        line: How outlines are drawn on overlays.
        mpp: Micrometres per pixel of the images; without it they are taken to have the model's,
            and every result says so.
        settings: What decides which nuclei come out.
    """
    scale = settings.scale.model_copy(update={"mpp_override": mpp})
    recorded = settings.model_copy(update={"scale": scale})

    def find(path: Path) -> _Found:
        check_name(path)
        image = read_flat_image(path)
        found = segment_image(
            image.rgb, mpp=mpp or engine.model.card.mpp, engine=engine, settings=recorded
        )
        summary = image_summary(_sha256(path), found, engine, recorded)
        summary = summary.model_copy(update={"warnings": (*image.notes, *summary.warnings)})
        return _Found(image.rgb, found, summary)

    paths = list(images)
    n_at_once = 1 if any(map(_is_large, paths)) else min(_AT_ONCE, available_cores())
    for outcome in each(paths, find, record_failure=_not_at_all, n_at_once=n_at_once):
        if outcome.product is None:
            yield Outcome(outcome.item, error=outcome.error)
            continue
        publish = functools.partial(_published, outcome.product, out_dir, line)
        # In order, so that of two images with one stem the first always gets the plain name.
        yield from each([outcome.item], publish, record_failure=_not_at_all)


def _is_large(path: Path) -> bool:
    """Whether several such images would be too much memory; one that is not there fails later."""
    try:
        return path.stat().st_size > _LARGE_FILE_BYTES
    except OSError:
        return False


@dataclass(frozen=True)
class _Found:
    """An image's pixels with its nuclei, not yet on disk."""

    rgb: RgbImage
    found: SegmentedImage
    summary: SegmentationSummary


def _published(made: _Found, out_dir: Path, line: Line, path: Path) -> PublishedImage:
    nuclei, instance_map = made.found.nuclei, made.found.instance_map
    publish_roi(out_dir, path.stem, made.rgb, nuclei, instance_map, made.summary, line)
    return PublishedImage(made.found, made.summary)


def _not_at_all(_path: Path, _error: Exception) -> None:
    """Results of flat images are files alone: no catalogue is kept beside them."""


def _sha256(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError as error:
        raise UnreadableSlideError(f"{path} cannot be read: {error.strerror}.") from error
