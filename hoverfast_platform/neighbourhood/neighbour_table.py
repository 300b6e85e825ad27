"""The neighbourhood of a result's nuclei on disk: a row for each, in the order of its table."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hoverfast_platform.errors import StorageError
from hoverfast_platform.files import written_atomically
from hoverfast_platform.neighbourhood.measure import Columns, NeighbourhoodSettings
from hoverfast_platform.storage.publish import TABLE

NEIGHBOURS = ".neighbours.parquet"
"""Ending of the table, after the slide's stem."""

_KEY = b"hoverfast"
_FORM = 1
"""Version of the table's form: raised where a reader would misread a new one."""


def neighbour_table_of(result: Path) -> Path:
    """Where the table of a result lies, beside its ``.parquet``."""
    return result.with_name(result.name.removesuffix(TABLE) + NEIGHBOURS)


def write_neighbour_table(
    result: Path, columns: Columns, segmentation_id: str, settings: NeighbourhoodSettings
) -> Path:
    """Write the table beside a result, with the nuclei's ids; it appears whole or not at all.

    Raises:
        StorageError: If it cannot be written.
    """
    path = neighbour_table_of(result)
    ids = pq.read_table(result, columns=["id"])["id"]
    said = {
        "schema_version": _FORM,
        "segmentation_id": segmentation_id,
        "settings": settings.model_dump(mode="json"),
    }
    table = pa.table({"id": ids, **columns}).replace_schema_metadata({_KEY: json.dumps(said)})
    with written_atomically(path) as part:
        pq.write_table(table, part, compression="zstd")
    return path


def read_neighbour_table(result: Path, segmentation_id: str) -> Columns:
    """The columns beside a result.

    Raises:
        StorageError: If they are not there, or of another segmentation.
    """
    path = neighbour_table_of(result)
    remedy = f"Make it with `hoverfast neighbours {result.name}`."
    if not path.is_file():
        raise StorageError(f"There is no {path.name} beside {result.name}.", remedy)
    try:
        table = pq.read_table(path)
        said = json.loads((table.schema.metadata or {}).get(_KEY, b"{}"))
    except (OSError, ValueError) as error:  # Arrow's errors are ValueErrors
        raise StorageError(f"{path} is not a readable table: {error}.", remedy) from error
    if said.get("segmentation_id") != segmentation_id:
        raise StorageError(f"{path.name} belongs to another result than {result.name}.", remedy)
    return {
        name: np.asarray(table[name].to_numpy(), np.float32)
        for name in table.column_names
        if name != "id"
    }
