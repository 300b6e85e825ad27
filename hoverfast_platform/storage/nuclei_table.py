"""Nuclei as GeoParquet: one row each, readable by pandas, geopandas, QGIS, DuckDB, R."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import shapely

from hoverfast_platform.errors import StorageError
from hoverfast_platform.nuclei.identity import nucleus_ids
from hoverfast_platform.nuclei.nucleus import Nuclei
from hoverfast_platform.storage.summary import Distribution

_GEO = {
    "version": "1.1.0",
    "primary_column": "geometry",
    "columns": {
        "geometry": {
            "encoding": "WKB",
            "geometry_types": ["Polygon"],
            "crs": None,  # pixels are no place on earth
            "edges": "planar",
            "orientation": "counterclockwise",
        }
    },
}

_PLACE = {"id", "geometry", "centroid_x", "centroid_y", "tile"}
"""Columns that say which nucleus and where; all others are measurements."""


def write_nuclei_table(
    path: Path,
    blocks: Iterable[Nuclei],
    columns: Sequence[str],
    *,
    metadata: Mapping[str, Any],
    namespace: uuid.UUID,
) -> int:
    """Write a Parquet file, a row group per block; RAM holds one block.

    Columns: ``id`` (UUID, the same as in the QuPath file), ``geometry`` (WKB polygon),
    ``centroid_x``, ``centroid_y``, all in level-0 pixels of the slide's frame, ``tile`` (index
    in the tile plan), then the measurements with their units in their names.

    Args:
        path: Where; the caller renames it.
        blocks: Nuclei in the order to write.
        columns: Measurements every block has, in the order to write.
        metadata: JSON-able; stored in the file under ``hoverfast``.
        namespace: Of the nuclei's ids.

    Returns:
        The number of rows.
    """
    schema = pa.schema(
        [
            pa.field("id", pa.string()),
            pa.field("geometry", pa.binary()),
            pa.field("centroid_x", pa.float64()),
            pa.field("centroid_y", pa.float64()),
            pa.field("tile", pa.int32()),
            *(pa.field(name, pa.float32()) for name in columns),
        ],
        metadata={
            "geo": json.dumps(_GEO),
            "hoverfast": json.dumps(metadata, sort_keys=True),
        },
    )
    n = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for nuclei in blocks:
            if not len(nuclei):
                continue
            writer.write_table(
                pa.table(
                    [
                        nucleus_ids(nuclei, namespace),
                        pa.array(shapely.to_wkb(nuclei.polygons()).tolist(), pa.binary()),
                        nuclei.centroid_xy[:, 0],
                        nuclei.centroid_xy[:, 1],
                        nuclei.tile_index,
                        *(nuclei.measurements[name] for name in columns),
                    ],
                    schema=schema,
                )
            )
            n += len(nuclei)
    return n


def read_nuclei_table(path: Path) -> Nuclei:
    """All nuclei of a file written by :func:`write_nuclei_table`.

    Raises:
        StorageError: If it cannot be read.
    """
    return Nuclei.concatenate(list(iter_nuclei_table(path)))


def iter_nuclei_table(path: Path) -> Iterator[Nuclei]:
    """The nuclei of a file, block by block as they were written; at least one, perhaps empty.

    Raises:
        StorageError: If it cannot be read.
    """
    try:
        with pq.ParquetFile(path) as file:
            yield _nuclei_of(file.schema_arrow.empty_table())
            for index in range(file.num_row_groups):
                yield _nuclei_of(file.read_row_group(index))
    except (OSError, pa.ArrowException, KeyError) as error:
        raise StorageError(f"{path} is no readable nuclei table: {error}.", "") from error


def _nuclei_of(table: pa.Table) -> Nuclei:
    polygons = shapely.from_wkb(table["geometry"].to_numpy())
    rings = shapely.get_exterior_ring(polygons)
    vertices, ring_of = shapely.get_coordinates(rings, return_index=True)
    lengths = np.bincount(ring_of, minlength=len(polygons))
    return Nuclei(
        centroid_xy=np.stack(
            [table["centroid_x"].to_numpy(), table["centroid_y"].to_numpy()], axis=1
        ),
        vertices_xy=vertices,
        ring_starts=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        tile_index=table["tile"].to_numpy(),
        decimals=1,
        measurements={
            name: table[name].to_numpy() for name in table.column_names if name not in _PLACE
        },
    )


def measurement_distributions(path: Path, columns: Sequence[str]) -> dict[str, Distribution]:
    """How measurements of a nuclei table are distributed; RAM holds one column.

    Columns without a single value are left out.
    """
    found = {name: Distribution.of(read_measurement(path, name)) for name in columns}
    return {name: distribution for name, distribution in found.items() if distribution}


def read_measurement(path: Path, column: str) -> npt.NDArray[np.float32]:
    """One column of a nuclei table, ``(N,)``."""
    values: npt.NDArray[np.float32] = pq.read_table(path, columns=[column])[column].to_numpy()
    return values


def read_table_metadata(path: Path) -> dict[str, Any]:
    """What :func:`write_nuclei_table` was given as ``metadata``; empty for other files."""
    stored = pq.read_schema(path).metadata or {}
    metadata: dict[str, Any] = json.loads(stored.get(b"hoverfast", b"{}"))
    return metadata
