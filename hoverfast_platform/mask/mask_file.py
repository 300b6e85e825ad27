"""A mask as one PNG file: written whole or not at all, readable by any program, self-describing.

Grey levels: 0 background; 1..127 the code of the :class:`Finding` that took the tissue away;
128..255 usable tissue, 255 minus the code of a finding that was remarked on. So "above half" is
the usable mask for a program that knows nothing of this. The record (scale, frame, slide,
statistics, provenance) is JSON in the PNG's text chunk ``hoverfast-mask``.
"""

from __future__ import annotations

import contextlib
import io
import struct
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from PIL import Image, PngImagePlugin, UnidentifiedImageError

from hoverfast_platform.config import FileRecord
from hoverfast_platform.errors import MaskError
from hoverfast_platform.files import reporting_content, written_atomically
from hoverfast_platform.geometry import Mpp
from hoverfast_platform.mask.findings import Finding
from hoverfast_platform.mask.statistics import MaskStatistics, mask_statistics
from hoverfast_platform.mask.tissue_mask import MaskEngineName, TissueMask
from hoverfast_platform.stand_ins import refuse_stand_in
from hoverfast_platform.version import __version__

_CHUNK = "hoverfast-mask"
_USABLE = 128
_MAX_PIXELS = 150_000_000
_MAX_FILE_BYTES = 1 << 30
"""Most pixels of a mask image: 25 mm x 24 mm at 2 um/px. A larger image is a slide, not a mask."""


class MaskRecord(FileRecord):
    """What a mask file says of itself."""

    engine: MaskEngineName
    slide_name: str
    slide_sha256: str
    slide_width_px: int
    slide_height_px: int
    slide_mpp_x: float
    slide_mpp_y: float
    mask_mpp_x: float
    mask_mpp_y: float
    frame: str
    origin_px: tuple[int, int]
    findings: dict[str, int]
    """Names of the grey levels."""
    statistics: MaskStatistics
    warnings: tuple[str, ...]
    provenance: dict[str, Any]
    made_with: str = ""
    """Digest of the settings it was made with."""
    code_version: str
    within_wkb: str = ""
    """Regions to which the work is restricted: well-known binary, hex, level-0 pixels."""

    @property
    def within(self) -> Any:
        """Those regions as a shapely geometry; None where the work is not restricted.

        Raises:
            MaskError: If they are damaged.
        """
        if not self.within_wkb:
            return None
        try:
            return shapely.from_wkb(self.within_wkb)
        except shapely.GEOSException as error:
            raise MaskError(
                f"The regions in the mask of {self.slide_name} are damaged.", "Make it anew."
            ) from error


def mask_record(
    mask: TissueMask, slide_name: str, slide_sha256: str, *, made_with: str = ""
) -> MaskRecord:
    """Everything about a mask besides its pixels."""
    return MaskRecord(
        engine=mask.engine,
        slide_name=slide_name,
        slide_sha256=slide_sha256,
        slide_width_px=mask.slide_width,
        slide_height_px=mask.slide_height,
        slide_mpp_x=mask.slide_mpp.x,
        slide_mpp_y=mask.slide_mpp.y,
        mask_mpp_x=mask.mpp.x,
        mask_mpp_y=mask.mpp.y,
        frame=mask.frame,
        origin_px=mask.origin_px,
        findings={finding.label: int(finding) for finding in Finding},
        statistics=mask_statistics(mask),
        warnings=mask.warnings,
        provenance=mask.provenance,
        made_with=made_with,
        code_version=__version__,
        within_wkb=shapely.to_wkb(mask.within, hex=True) if mask.within is not None else "",
    )


def write_mask(path: Path, mask: TissueMask, record: MaskRecord) -> None:
    """Write a mask; the file appears whole or not at all.

    Raises:
        StorageError: If the folder is not writable or the disk is full.
    """
    findings = mask.findings if mask.findings is not None else np.zeros_like(mask.is_tissue, "u1")
    levels = np.where(mask.is_tissue, 255 - findings, findings)
    text = PngImagePlugin.PngInfo()
    text.add_itxt(_CHUNK, record.model_dump_json(), zip=True)
    with written_atomically(path) as part:
        Image.fromarray(levels).save(part, format="PNG", pnginfo=text, optimize=True)


def read_record(path: Path) -> MaskRecord | None:
    """The record in a mask file; None if another program made it.

    Raises:
        MaskError: If the file is not a readable image, or its record is damaged or newer.
    """
    with opened_image(path) as image:
        # Ours stands before the pixels, which `text` would decode to look behind them.
        text = image.info.get(_CHUNK) or getattr(image, "text", {}).get(_CHUNK)
    if text is None:
        return None
    remedy = "It may be of a newer version of the platform; make the mask anew."
    with reporting_content(path, "a mask with a readable record", remedy, MaskError):
        return MaskRecord.model_validate_json(text)


def read_mask(path: Path) -> TissueMask | None:
    """One of our masks as it says itself, without its slide; None if another program made it.

    Raises:
        MaskError: As :func:`read_record` and :func:`read_levels` do.
    """
    record = read_record(path)
    if record is None:
        return None
    is_tissue, findings = split_levels(read_levels(path))
    return TissueMask(
        is_tissue=is_tissue,
        slide_width=record.slide_width_px,
        slide_height=record.slide_height_px,
        slide_mpp=Mpp(record.slide_mpp_x, record.slide_mpp_y),
        engine=record.engine,
        frame="bounds" if record.frame == "bounds" else "full",
        origin_px=record.origin_px,
        provenance=record.provenance,
        findings=findings if findings.any() else None,
        warnings=record.warnings,
        within=record.within,
    )


def read_levels(path: Path) -> npt.NDArray[np.uint8]:
    """``(H, W)`` grey levels of a mask of ours, or of a step of HistoQC.

    Raises:
        MaskError: If the file is not a readable image, or too large to be a mask.
    """
    with opened_image(path) as image:
        return np.asarray(image.convert("L"))


def split_levels(
    levels: npt.NDArray[np.uint8],
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.uint8]]:
    """Usable tissue and findings, from the grey levels of one of our files."""
    is_tissue = levels >= _USABLE
    findings: npt.NDArray[np.uint8] = np.where(is_tissue, 255 - levels, levels)
    return is_tissue, findings


@contextlib.contextmanager
def opened_image(path: Path) -> Iterator[Image.Image]:
    """An image that is no larger than a mask may be.

    Raises:
        MaskError: If the file is not a readable image, or too large to be a mask.
    """
    try:
        with warnings.catch_warnings():
            # Pillow warns of any image beyond 90 Mpx; ours is the limit that matters.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            content = io.BytesIO(_file_content(path))
            with Image.open(content) as image:
                _refuse_huge(path, image.width, image.height)
                yield image
    except MaskError:
        raise
    except (
        OSError,
        UnidentifiedImageError,
        SyntaxError,  # Pillow's word for a broken PNG
        ValueError,  # a text chunk that expands beyond Pillow's limit
        LookupError,  # a TIFF directory that lacks its size
        TypeError,  # or has it without a number
        ArithmeticError,
        RuntimeError,
        struct.error,
        Image.DecompressionBombError,  # beyond twice Pillow's own limit
    ) as error:
        refuse_stand_in(path, "a mask", MaskError)
        raise MaskError(f"{path} is not a readable image: {error}.", "Make it anew.") from error


def _file_content(path: Path) -> bytes:
    """Read whole: Pillow keeps a damaged file open, and asks for its parts over the network."""
    if path.exists() and not path.is_file():
        raise MaskError(f"{path} is a folder, a pipe or a device.", "Give an image file.")
    n_bytes = path.stat().st_size
    if n_bytes > _MAX_FILE_BYTES:
        raise MaskError(
            f"{path} has {n_bytes / 2**20:,.0f} MiB, too large for a mask.",
            "Perhaps it is the slide itself; a mask needs no finer than 2 um per pixel.",
        )
    return path.read_bytes()


def _refuse_huge(path: Path, width: int, height: int) -> None:
    if width * height > _MAX_PIXELS:
        raise MaskError(
            f"{path} has {width}x{height} px, too large for a mask.",
            "A mask needs no finer than 2 um per pixel; shrink it.",
        )
