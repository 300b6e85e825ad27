"""The one function that opens a slide, whatever its format."""

from __future__ import annotations

from pathlib import Path

from hoverfast_platform.config import Scale
from hoverfast_platform.errors import (
    AbsentSlideError,
    MissingMppError,
    UnreadableSlideError,
    UnsupportedScaleError,
)
from hoverfast_platform.slide.completeness import check_complete, check_is_file
from hoverfast_platform.slide.openslide_reader import OpenSlideReader
from hoverfast_platform.slide.reader import SlideReader
from hoverfast_platform.slide.tiff_reader import TiffReader, is_better_read_by_tifffile

_TIFF_STARTS = frozenset({b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"})


def open_slide(path: Path | str, scale: Scale = Scale()) -> SlideReader:
    """Open a slide file by its content, not by its suffix.

    Args:
        path: Slide file; for multi-file formats the file OpenSlide expects (``.mrxs``, any
            one ``.dcm``).
        scale: Only ``mpp_override`` is used.

    Raises:
        UnreadableSlideError: If no reader can open it.
        IncompleteSlideError: If files or bytes of it are missing.
        MissingMppError: If it has no mpp and none is given.
        UnsupportedScaleError: If its mpp is outside 0.02..50.
    """
    path = Path(path)
    check_is_file(path)
    try:
        reader = OpenSlideReader(path, mpp_override=scale.mpp_override)
    except (AbsentSlideError, UnsupportedScaleError):
        raise
    except (UnreadableSlideError, MissingMppError) as error:
        check_complete(path)
        if not _is_tiff(path):
            raise
        try:
            return TiffReader(path, mpp_override=scale.mpp_override)
        except UnreadableSlideError:
            raise error from None
    if reader.info.vendor == "generic-tiff" and is_better_read_by_tifffile(path):
        reader.close()
        return TiffReader(path, mpp_override=scale.mpp_override)
    return reader


def _is_tiff(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) in _TIFF_STARTS
