"""Reading what HistoQC wrote for one slide: mask, steps, columns, warnings, errors.

HistoQC (Janowczyk et al., JCO Clin Cancer Inform 3 (2019)), layout of its master at b795612:
``OUT/results.tsv``, ``OUT/error.log``, ``OUT/<name>/<name>_<step>.png``. A step's picture shows
the pixels which that step took away. Its exit code and its log do not prove success; what
lies in the folder is.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hoverfast_platform.arrays import TissuePixels
from hoverfast_platform.errors import MaskError
from hoverfast_platform.geometry import Box
from hoverfast_platform.mask.findings import Finding, FindingPixels
from hoverfast_platform.mask.mask_file import read_levels

MASK_SUFFIX = "_mask_use.png"

_STEPS: dict[str, Finding] = {
    "pen_markings": Finding.PEN,
    "coverslip_edge": Finding.COVERSLIP,
    "blurry": Finding.BLUR,
    "dark": Finding.FOLD_DARK,
    "flat": Finding.BUBBLE,
    "bubble": Finding.BUBBLE,
    "fatlike": Finding.FAT,
    "small_remove": Finding.SPECK,
    "spur": Finding.SPECK,
    "areathresh": Finding.SPECK,
}
"""Suffixes of the shipped configurations. ``bright`` and ``nonwhite`` take the background."""

_BOX = re.compile(r"\((-?\d+), (-?\d+), (\d+), (\d+)\)")
_N_LOG_LINES = 3


@dataclass(frozen=True)
class HistoQcRow:
    """A slide's line of ``results.tsv``.

    Attributes:
        columns: Name to value as written. Only those before the measurements where the line's
            length is not the header's: in a run of several slides HistoQC writes one header,
            that of the slide it finished first.
        is_aligned: Whether line and header have the same length.
        warnings: HistoQC's warnings about this slide.
        box: What the mask shows, in the file's full level-0 pixels; None if it does not say.
    """

    columns: dict[str, str] = field(default_factory=dict)
    is_aligned: bool = True
    warnings: tuple[str, ...] = ()
    box: Box | None = None


def read_row(folder: Path, slide_name: str) -> HistoQcRow | None:
    """The line of a slide in the results of a HistoQC run; None if it has none.

    Raises:
        MaskError: If it has several, or a file is unreadable.
    """
    found: list[HistoQcRow] = []
    for path in sorted(folder.glob("results*.tsv")):
        header: list[str] = []
        for fields in _lines(path):
            if fields[0].startswith("#dataset:"):
                header = [fields[0].removeprefix("#dataset:"), *fields[1:]]
            elif fields[0] == slide_name:
                found.append(_row(header, fields))
    if len(found) > 1:
        raise MaskError(
            f"{folder} has {len(found)} lines for {slide_name} in results.tsv: it holds several "
            "runs.",
            "Give the folder of one run.",
        )
    return found[0] if found else None


def _lines(path: Path) -> Iterator[list[str]]:
    try:
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            for fields in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
                if fields:
                    yield fields
    except OSError as error:
        raise MaskError(f"{path} cannot be read: {error}.", "Check its permissions.") from error


def _row(header: list[str], fields: list[str]) -> HistoQcRow:
    is_aligned = len(header) == len(fields)
    # The slide's own properties come first and in a fixed order, up to its comment.
    n_sure = len(header) if is_aligned else header.index("comment") if "comment" in header else 0
    columns = dict(zip(header[:n_sure], fields[:n_sure], strict=False))
    match = _BOX.fullmatch(columns.get("image_bounding_box", ""))
    box = None
    if match is not None:
        x, y, width, height = (int(number) for number in match.groups())
        box = Box.of(x=x, y=y, width=width, height=height)
    warnings = tuple(text.strip() for text in fields[-1].split("|") if text.strip())
    has_warnings = bool(header) and header[-1] == "warnings" and len(fields) > 1
    columns.pop("warnings", None)
    return HistoQcRow(columns, is_aligned, warnings if has_warnings else (), box)


def log_lines(folder: Path, slide_name: str) -> tuple[str, ...]:
    """The last lines of ``error.log`` about a slide, errors before warnings."""
    path = folder / "error.log"
    if not path.is_file():
        return ()
    text = path.read_text(encoding="utf-8", errors="replace")
    about = [line for line in text.splitlines() if slide_name in line]
    errors = [line for line in about if " ERROR " in line or " CRITICAL " in line]
    return tuple((errors or about)[-_N_LOG_LINES:])


def read_findings(mask_path: Path, is_tissue: TissuePixels) -> FindingPixels | None:
    """What took tissue away, from the pictures of the steps beside the final mask.

    Pixels that a step took and a later one gave back (filled holes) are plain tissue.

    Args:
        mask_path: ``<name>_mask_use.png``.
        is_tissue: Its pixels.

    Returns:
        None if no step has left a picture of the mask's size.
    """
    findings: FindingPixels = np.zeros(is_tissue.shape, dtype=np.uint8)
    has_any = False
    stem = mask_path.name.removesuffix(MASK_SUFFIX)
    for step, finding in _STEPS.items():
        path = mask_path.with_name(f"{stem}_{step}.png")
        if not path.is_file():
            continue
        taken = read_levels(path) > 127
        if taken.shape != is_tissue.shape:
            continue
        has_any = True
        findings[taken & ~is_tissue & (findings == Finding.NONE)] = finding
    return findings if has_any else None
