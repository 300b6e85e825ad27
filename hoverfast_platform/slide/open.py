"""The one function that opens a slide, whatever its format."""

from __future__ import annotations

from pathlib import Path

from hoverfast_platform.config import Scale
from hoverfast_platform.slide.openslide_reader import OpenSlideReader
from hoverfast_platform.slide.reader import SlideReader


def open_slide(path: Path | str, scale: Scale = Scale()) -> SlideReader:
    """Open a slide file by its content, not by its suffix.

    Args:
        path: Slide file; for multi-file formats the file OpenSlide expects (``.mrxs``, any
            one ``.dcm``).
        scale: Only ``mpp_override`` is used.

    Raises:
        UnreadableSlideError: If no reader can open it.
        MissingMppError: If it has no mpp and none is given.
        UnsupportedScaleError: If its mpp is outside 0.02..50.
    """
    return OpenSlideReader(Path(path), mpp_override=scale.mpp_override)
