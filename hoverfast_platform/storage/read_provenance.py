"""Reading from a result what it was made from, whichever of its files is at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hoverfast_platform.errors import StorageError
from hoverfast_platform.storage.nuclei_table import read_table_metadata
from hoverfast_platform.storage.qupath_validation import validate_qupath_file
from hoverfast_platform.storage.summary import SegmentationSummary


def read_provenance(path: Path) -> dict[str, Any]:
    """What is recorded in a ``.json.gz``, ``.parquet`` or ``.summary.json`` of ours.

    Raises:
        StorageError: If the file is missing, damaged, or not one of ours.
    """
    if not path.is_file():
        raise StorageError(f"{path} does not exist.", "Give a result file.")
    if path.name.endswith(".summary.json"):
        return SegmentationSummary.read(path).provenance.model_dump(mode="json")
    if path.suffix == ".parquet":
        return read_table_metadata(path)
    return validate_qupath_file(path).provenance
