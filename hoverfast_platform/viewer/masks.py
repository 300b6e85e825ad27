"""What the page is told of a slide's tissue mask: is it plausible, what was left out, and why."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from hoverfast_platform.checks.finding import CheckFinding
from hoverfast_platform.checks.policy import MaskCheck
from hoverfast_platform.checks.rules import check_mask
from hoverfast_platform.errors import MaskError
from hoverfast_platform.mask.findings import COLOURS, Finding
from hoverfast_platform.mask.mask_file import MaskRecord, read_record

_WHY = {
    Finding.PEN: "ink on tissue",
    Finding.BLUR: "out of focus",
    Finding.FOLD_DARK: "folded, or too dark",
    Finding.BUBBLE: "air under the cover slip",
    Finding.FAT: "empty fat cells",
    Finding.SPECK: "pieces too small",
    Finding.PEN_ON_GLASS: "ink on glass",
    Finding.COVERSLIP: "edge of the cover slip",
    Finding.OTHER: "found by another program",
}


def judge_mask(path: Path, policy: MaskCheck) -> CheckFinding | None:
    """The verdict on a mask; None where another program made the file.

    Raises:
        MaskError: If it cannot be read.
    """
    record = _record_of(path)
    return None if record is None else check_mask(record.statistics, policy)


def describe_left_out(path: Path | None) -> list[dict[str, Any]]:
    """Reasons for which pixels were left out, or kept with a remark; largest area first.

    Each has ``why`` in words, ``colour`` as the picture of the mask has it, ``lost_mm2`` (tissue
    that is not used) and ``kept_mm2`` (tissue that is used all the same).
    """
    try:
        record = None if path is None else _record_of(path)
    except MaskError:
        return []  # the address of the mask's picture says what is wrong
    if record is None:
        return []
    found = record.statistics
    rows = [
        {
            "why": _WHY[finding],
            "colour": "#{:02x}{:02x}{:02x}".format(*COLOURS[finding]),
            "lost_mm2": found.lost_area_mm2.get(finding.label, 0.0),
            "kept_mm2": found.remarked_area_mm2.get(finding.label, 0.0),
        }
        for finding in COLOURS
    ]
    areas = [row for row in rows if row["lost_mm2"] or row["kept_mm2"]]
    return sorted(areas, key=lambda row: -max(row["lost_mm2"], row["kept_mm2"]))


def _record_of(path: Path) -> MaskRecord | None:
    try:
        status = path.stat()
    except OSError as error:
        raise MaskError(f"The mask {path.name} went away: {error}.", "Make it anew.") from error
    return _read(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=4096)
def _read(path: Path, _size: int, _mtime_ns: int) -> MaskRecord | None:
    """A record, read again only once its file changed: the list is often asked for."""
    return read_record(path)
