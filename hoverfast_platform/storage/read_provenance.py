"""Reading from a result what it was made from, whichever of its files is at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hoverfast_platform.access_errors import is_there
from hoverfast_platform.errors import StorageError
from hoverfast_platform.storage.nuclei_table import read_table_metadata
from hoverfast_platform.storage.publish import (
    QUPATH,
    SUMMARY,
    TABLE,
    changed_files,
    changed_text,
)
from hoverfast_platform.storage.qupath_validation import validate_qupath_file
from hoverfast_platform.storage.summary import SegmentationSummary


def read_provenance(path: Path) -> dict[str, Any]:
    """What is recorded in a ``.json.gz``, ``.parquet`` or ``.summary.json`` of ours.

    Raises:
        StorageError: If the file is missing, damaged, not one of ours, or if a file of its
            result changed since the summary beside it was written.
    """
    if not is_there(path) or not path.is_file():
        raise StorageError(f"{path} does not exist.", "Give a result file.")
    _check_unchanged(path)
    if path.name.endswith(".summary.json"):
        return SegmentationSummary.read(path).provenance.model_dump(mode="json")
    if path.suffix == ".parquet":
        return read_table_metadata(path)
    return validate_qupath_file(path).provenance


def _check_unchanged(path: Path) -> None:
    """The files of a result belong together; a copy that was taken out alone is taken as it is."""
    for ending in (SUMMARY, TABLE, QUPATH):
        summary_path = path.with_name(path.name.removesuffix(ending) + SUMMARY)
        if path.name.endswith(ending) and summary_path.is_file():
            changed = changed_files(path.parent, SegmentationSummary.read(summary_path))
            if changed:
                raise StorageError(changed_text(summary_path, changed))
