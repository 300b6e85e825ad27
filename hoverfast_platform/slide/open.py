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
from hoverfast_platform.slide.czi_reader import CZI_START, CziReader
from hoverfast_platform.slide.digest import slide_files
from hoverfast_platform.slide.openslide_reader import OpenSlideReader
from hoverfast_platform.slide.reader import SlideReader
from hoverfast_platform.slide.tiff_reader import TiffReader, is_better_read_by_tifffile

_ALWAYS_PIXELS = 100_000_000
_MAX_PIXELS_PER_BYTE = 10_000
"""JPEG of blank glass has 300 pixels per byte, blank tiles of newer codecs some 3,000."""

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
    return _substantial(path, _opened(path, scale))


def open_scene(
    path: Path, *, mpp_override: float | None = None, scene: str | None = None, z: int | None = None
) -> SlideReader:
    """Open one image of a file that holds several, or a Zarr folder, to make a slide of it.

    Args:
        path: A slide file, a CZI of several planes or scenes, or a folder of Zarr.
        mpp_override: Micrometres per pixel, instead of what it says.
        scene: Name or number of the image.
        z: Plane of a stack, in CZI and Zarr.

    Raises:
        HoverFastError: As :func:`open_slide` does, and SettingsError for a scene that is not there.
    """
    if path.is_dir():
        from hoverfast_platform.slide.zarr_reader import ZarrReader

        return ZarrReader(path, mpp_override=mpp_override, scene=scene, z=z)
    check_is_file(path)
    if _start(path) == CZI_START:
        return _substantial(path, CziReader(path, mpp_override=mpp_override, scene=scene, z=z))
    if scene is None and z is None:
        return open_slide(path, Scale(mpp_override=mpp_override))
    check_complete(path)
    if z is not None or not _is_tiff(path):
        raise UnreadableSlideError(
            f"{path.name}: scenes are chosen in TIFF, CZI and Zarr, planes in CZI and Zarr.",
            "Export the plane or scene from the scanner's own program.",
        )
    return TiffReader(path, mpp_override=mpp_override, scene=scene)


def _opened(path: Path, scale: Scale) -> SlideReader:
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


def _substantial(path: Path, reader: SlideReader) -> SlideReader:
    """The reader itself, unless a header of some bytes announces blank tiles without end."""
    width, height = reader.info.level_sizes[-1]
    if width * height <= _ALWAYS_PIXELS:
        return reader
    n_bytes = sum(file.stat().st_size for file in slide_files(path))
    if width * height > _MAX_PIXELS_PER_BYTE * n_bytes:
        reader.close()
        raise UnreadableSlideError(
            f"{path.name} announces {width:,} x {height:,} px and has {n_bytes:,} bytes, too few "
            "for a slide of that size.",
            "Its header is damaged, or its pixels are missing; copy it again.",
        )
    return reader


def _is_tiff(path: Path) -> bool:
    return _start(path)[:4] in _TIFF_STARTS


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(len(CZI_START))
