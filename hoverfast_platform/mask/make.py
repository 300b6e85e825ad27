"""The mask of a slide on disk: made by an engine, or found made already; with its picture."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import shapely

from hoverfast_platform.arrays import RgbImage
from hoverfast_platform.config import MaskSettings
from hoverfast_platform.errors import MaskError
from hoverfast_platform.files import text_sha256
from hoverfast_platform.mask.engines import make_mask
from hoverfast_platform.mask.imported import load_mask
from hoverfast_platform.mask.mask_file import MaskRecord, mask_record, read_record, write_mask
from hoverfast_platform.mask.picture import draw_quality
from hoverfast_platform.mask.tissue_mask import TissueMask
from hoverfast_platform.slide.reader import SlideReader
from hoverfast_platform.slide.thumbnail import read_thumbnail
from hoverfast_platform.version import __version__


@dataclass(frozen=True)
class WorkArea:
    """Where on a slide people want work to be done.

    Attributes:
        within: Valid shapely geometry, level-0 pixels.
        notes: What a person should know of it; kept with the mask.
    """

    within: Any
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class MadeMask:
    """A mask that is on disk.

    Attributes:
        path: Its file.
        mask: Its pixels.
        record: What the file says of itself.
        picture: Thumbnail with findings and legend.
        was_done: True if an earlier run had made exactly this.
    """

    path: Path
    mask: TissueMask
    record: MaskRecord
    picture: RgbImage
    was_done: bool


def make_mask_file(  # noqa: PLR0913 - the whole of a mask's making
    slide_path: Path,
    reader: SlideReader,
    slide_sha256: str,
    out_path: Path,
    settings: MaskSettings,
    *,
    only: WorkArea | None = None,
    picture_side_px: int = 512,
    replaces_any: bool = False,
) -> MadeMask:
    """Make the mask of a slide and write it, unless it is there with the same settings.

    An imported mask is always taken anew: its source may have changed.

    Args:
        slide_path: The slide's file.
        reader: The slide, open.
        slide_sha256: Its digest.
        out_path: File of the mask, ``.png``.
        settings: Engine and its settings.
        only: Outside it nothing is usable; None takes all tissue.
        picture_side_px: Longer side of the thumbnail in the picture.
        replaces_any: Whether a file in the way may be replaced whatever it is.

    Raises:
        MaskError: If the engine failed on the slide, or ``out_path`` is another slide's mask.
        SettingsError: If the engine cannot be used.
        ComputeError: If HistoQC ran out of time or memory.
        StorageError: If the mask cannot be written.
    """
    made_with = _made_with(settings, only)
    known = _existing(out_path, slide_sha256, replaces_any)
    was_done = (
        known is not None
        and settings.engine != "import"
        and known.made_with == made_with
        and (known.slide_mpp_x, known.slide_mpp_y) == (reader.info.mpp.x, reader.info.mpp.y)
    )
    if known is not None and was_done:
        mask, record = load_mask(out_path, reader.info, slide_sha256=slide_sha256), known
    else:
        mask = make_mask(slide_path, reader, settings, slide_sha256=slide_sha256)
        if only is not None:
            mask = replace(mask.cut_to(only.within), warnings=(*mask.warnings, *only.notes))
        record = mask_record(mask, reader.info.name, slide_sha256, made_with=made_with)
        write_mask(out_path, mask, record)
    picture = draw_quality(read_thumbnail(reader, picture_side_px), mask)
    return MadeMask(out_path, mask, record, picture, was_done)


def _made_with(settings: MaskSettings, only: WorkArea | None) -> str:
    """Equal for equal masks of a slide: settings of the engine that is used, regions, the code."""
    of_engine = {
        "builtin": settings.builtin,
        "histoqc": settings.histoqc,
        "import": settings.imported,
    }[settings.engine]
    regions = f" {shapely.to_wkb(only.within, hex=True)}" if only is not None else ""
    return text_sha256(f"{__version__} {settings.engine} {of_engine.model_dump_json()}{regions}")


def _existing(path: Path, slide_sha256: str, replaces_any: bool) -> MaskRecord | None:
    """The record of this slide's mask if it is there whole.

    Raises:
        MaskError: If something else is there and may not be replaced.
    """
    if not path.exists():
        return None
    try:
        record = read_record(path)
    except MaskError:
        return None
    if record is not None and record.slide_sha256 == slide_sha256:
        return record
    if not replaces_any:
        whose = "another program's" if record is None else f"of {record.slide_name}, other content"
        raise MaskError(
            f"{path} is there and is not ours to replace: it is {whose}.",
            "Choose another output folder, or delete it.",
        )
    return None
