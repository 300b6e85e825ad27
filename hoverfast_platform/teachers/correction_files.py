"""Files of corrections in a folder: whose slide they are of, and which program made them.

The viewer says in the head of its file which slide it corrected; QuPath says nothing, so that its
exports go by the slide's name: ``<stem>.geojson``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hoverfast_platform.errors import LabelError

QUPATH = "QuPath"
_SUFFIX = ".geojson"
_HEAD_BYTES = 1 << 16
_KEY = '"provenance":'


@dataclass(frozen=True)
class CorrectionFile:
    """One file of corrections.

    Attributes:
        path: The file.
        source: Program that made it.
        slide_sha256: Digest of the slide; empty where the file does not say it.
        reviewed_by: People who corrected, as far as the file says.
        n_regions: Regions that were looked at; None where the file does not say it.
    """

    path: Path
    source: str
    slide_sha256: str = ""
    reviewed_by: tuple[str, ...] = ()
    n_regions: int | None = None

    def is_of(self, sha256: str, name: str) -> bool:
        """Whether it corrects the slide with this digest and file name."""
        if self.slide_sha256:
            return self.slide_sha256 == sha256
        return self.path.name == f"{Path(name).stem}{_SUFFIX}"

    @property
    def teaches(self) -> bool:
        """Whether anything in it was looked at as a whole; else nothing can be learned from it."""
        return self.n_regions != 0


def find_corrections(folder: Path) -> tuple[CorrectionFile, ...]:
    """All files of corrections in a folder, in order of name; none where there is no folder.

    Raises:
        LabelError: If one cannot be read.
    """
    if not folder.is_dir():
        return ()
    paths = sorted(p for p in folder.iterdir() if p.name.endswith(_SUFFIX) and p.name[0] != ".")
    return tuple(read_correction_head(path) for path in paths)


def read_correction_head(path: Path) -> CorrectionFile:
    """What a file of corrections says of itself.

    Raises:
        LabelError: If it cannot be read.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES).decode("utf-8", "replace")
    except OSError as error:
        raise LabelError(f"{path} cannot be read: {error}.", "Move it away or mend it.") from error
    before_features = head.split('"features"', 1)[0]
    if _KEY not in before_features:
        return CorrectionFile(path, QUPATH)
    try:
        said, _ = json.JSONDecoder().raw_decode(head.split(_KEY, 1)[1].lstrip())
        return _of_provenance(path, said)
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise LabelError(
            f"{path} begins with a provenance that cannot be read: {error}.", "Export it again."
        ) from error


def _of_provenance(path: Path, said: dict[str, Any]) -> CorrectionFile:
    n_regions = said.get("n_regions")
    return CorrectionFile(
        path,
        source=str(said.get("source", QUPATH)),
        slide_sha256=str(said.get("slide_sha256", "")),
        reviewed_by=tuple(map(str, said.get("reviewed_by", ()))),
        n_regions=None if n_regions is None else int(n_regions),
    )
