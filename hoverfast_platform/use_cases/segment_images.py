"""Flat images to published results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from hoverfast_platform.config import SegmentationSettings
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

    def segment(path: Path) -> PublishedImage:
        check_name(path)
        image = read_flat_image(path)
        rgb = image.rgb
        found = segment_image(
            rgb, mpp=mpp or engine.model.card.mpp, engine=engine, settings=recorded
        )
        summary = image_summary(_sha256(path), found, engine, recorded)
        summary = summary.model_copy(update={"warnings": (*image.notes, *summary.warnings)})
        publish_roi(out_dir, path.stem, rgb, found.nuclei, found.instance_map, summary, line)
        return PublishedImage(found, summary)

    # Results of flat images are files alone: no catalogue is kept beside them.
    return each(images, segment, record_failure=lambda _path, _error: None)


def _sha256(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError as error:
        raise UnreadableSlideError(f"{path} cannot be read: {error.strerror}.") from error
