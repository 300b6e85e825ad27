"""Nuclei as GeoParquet: one row each, readable by pandas, geopandas, QGIS, DuckDB, R."""

from __future__ import annotations

import json
import uuid
from collections.abc import Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import shapely

from hoverfast_platform.errors import StorageError
from hoverfast_platform.nuclei.identity import id_texts, nucleus_ids
from hoverfast_platform.nuclei.nucleus import Nuclei
from hoverfast_platform.stand_ins import refuse_stand_in
from hoverfast_platform.storage.summary import Distribution

_GEO = {
    "version": "1.1.0",
    "primary_column": "geometry",
    "columns": {
        "geometry": {
            "encoding": "WKB",
            "geometry_types": ["Polygon"],
            "crs": None,  # pixels are not places on earth
            "edges": "planar",
            "orientation": "counterclockwise",
        }
    },
}

_WKB_HEAD = np.dtype(
    [("is_little_endian", "u1"), ("kind", "<u4"), ("n_rings", "<u4"), ("n_points", "<u4")]
)
_BYTES_PER_VERTEX = 16
DAMAGED_TABLE: tuple[type[Exception], ...] = (OSError, pa.ArrowException, KeyError, ValueError)
"""What reading a damaged table raises; ValueError where its names cannot be decoded."""

PLACE_COLUMNS = {"id", "geometry", "centroid_x", "centroid_y", "tile"}
"""Columns that say which nucleus and where; all others are measurements."""


class NucleiTableWriter:
    """A Parquet file to which blocks are added, a row group each; a context manager.

    Columns: ``id`` (UUID, the same as in the QuPath file), ``geometry`` (WKB polygon),
    ``centroid_x``, ``centroid_y``, all in level-0 pixels of the slide's frame, ``tile`` (index
    in the tile plan), then the measurements with their units in their names.

    Args:
        path: Where; the caller renames it. It is whole once the writer is closed.
        columns: Measurements every block has, in the order to write.
        metadata: JSON-able; stored in the file under ``hoverfast``.
    """

    def __init__(self, path: Path, columns: Sequence[str], metadata: Mapping[str, Any]) -> None:
        self._columns = tuple(columns)
        self._schema = pa.schema(
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
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd")
        self.n_rows = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Write the end, without which nobody can read the file."""
        try:
            self._writer.close()
        except BaseException:
            # Arrow would try again when the writer is collected, and print a traceback.
            self._writer.is_open = False
            raise

    def write(self, nuclei: Nuclei, ids: npt.NDArray[np.uint8]) -> None:
        """Add nuclei, whose ids have these bytes, ``(N, 16)``."""
        if not len(nuclei):
            return
        self._writer.write_table(
            pa.table(
                [
                    _strings(id_texts(ids)),
                    wkb_polygons(nuclei),
                    nuclei.centroid_xy[:, 0],
                    nuclei.centroid_xy[:, 1],
                    nuclei.tile_index,
                    *(nuclei.measurements[name] for name in self._columns),
                ],
                schema=self._schema,
            )
        )
        self.n_rows += len(nuclei)


def column_types(path: Path) -> dict[str, str]:
    """The columns of a table and their types, in order; no row is read."""
    schema = pq.read_schema(path)
    return {field.name: str(field.type) for field in schema}


def write_nuclei_table(
    path: Path,
    blocks: Iterable[Nuclei],
    columns: Sequence[str],
    *,
    metadata: Mapping[str, Any],
    namespace: uuid.UUID,
) -> int:
    """Write a file as :class:`NucleiTableWriter` does, with ids of a namespace.

    Returns:
        The number of rows.
    """
    with NucleiTableWriter(path, columns, metadata) as table:
        for nuclei in blocks:
            texts = nucleus_ids(nuclei, namespace)
            ids = b"".join(uuid.UUID(text).bytes for text in texts)
            table.write(nuclei, np.frombuffer(ids, np.uint8).reshape(-1, 16))
    return table.n_rows


def wkb_polygons(nuclei: Nuclei) -> pa.BinaryArray:
    """Each polygon in well-known binary, as shapely writes it, without an object for each."""
    lengths = np.diff(nuclei.ring_starts)
    heads = np.empty(len(nuclei), _WKB_HEAD)
    heads["is_little_endian"], heads["kind"], heads["n_rings"] = 1, 3, 1
    heads["n_points"] = lengths
    sizes = _WKB_HEAD.itemsize + _BYTES_PER_VERTEX * lengths
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    content = np.empty(offsets[-1], np.uint8)
    is_head = np.zeros(offsets[-1], np.bool_)
    is_head[offsets[:-1, None] + np.arange(_WKB_HEAD.itemsize)] = True
    content[is_head] = heads.view(np.uint8)
    content[~is_head] = np.ascontiguousarray(nuclei.vertices_xy, "<f8").view(np.uint8).ravel()
    return pa.BinaryArray.from_buffers(
        pa.binary(),
        len(nuclei),
        [None, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(content)],
    )


def _strings(texts: npt.NDArray[np.uint8]) -> pa.StringArray:
    """Rows of ASCII as strings."""
    offsets = np.arange(len(texts) + 1, dtype=np.int32) * texts.shape[1]
    return pa.StringArray.from_buffers(len(texts), pa.py_buffer(offsets), pa.py_buffer(texts))


def read_nuclei_table(path: Path) -> Nuclei:
    """All nuclei of a file written by :func:`write_nuclei_table`.

    Raises:
        StorageError: If it cannot be read.
    """
    return Nuclei.concatenate(list(iter_nuclei_table(path)))


def iter_nuclei_table(path: Path) -> Generator[Nuclei]:
    """The nuclei of a file, block by block as they were written; at least one, perhaps empty.

    Raises:
        StorageError: If it cannot be read.
    """
    try:
        with pq.ParquetFile(path) as file:
            yield nuclei_of_rows(file.schema_arrow.empty_table())
            for index in range(file.num_row_groups):
                yield nuclei_of_rows(file.read_row_group(index))
    except DAMAGED_TABLE as error:
        if isinstance(error.__context__, GeneratorExit):
            return  # nobody reads on: that it cannot be closed is nobody's matter
        refuse_stand_in(path, "a nuclei table", StorageError)
        raise StorageError(f"{path} is not a readable nuclei table: {error}.", "") from error


def nuclei_of_rows(table: pa.Table) -> Nuclei:
    """Rows of a nuclei table; their measurements are those that were read."""
    vertices, lengths = _rings(table["geometry"])
    return Nuclei(
        centroid_xy=np.stack(
            [column_values(table["centroid_x"]), column_values(table["centroid_y"])], axis=1
        ),
        vertices_xy=vertices,
        ring_starts=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        tile_index=column_values(table["tile"]),
        decimals=1,
        measurements={
            name: column_values(table[name])
            for name in table.column_names
            if name not in PLACE_COLUMNS
        },
    )


def column_values(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    """Numbers of a column; pyarrow's own way would import pandas, where that is installed."""
    if column.null_count or not column.num_chunks:
        return np.asarray(column.to_numpy())
    kind = np.dtype(column.type.to_pandas_dtype())
    parts = [
        np.frombuffer(chunk.buffers()[1], kind, len(chunk), chunk.offset * kind.itemsize)
        for chunk in column.chunks
    ]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _rings(geometry: pa.ChunkedArray) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """``(V, 2)`` vertices of all polygons and ``(N,)`` how many each has.

    Our own form, one ring after 13 bytes, is cut out of the column as a whole; a table that
    another program wrote anew may hold other forms.
    """
    parts = [_rings_as_written(chunk) for chunk in geometry.chunks if len(chunk)]
    if parts and all(part is not None for part in parts):
        vertices, lengths = zip(*(part for part in parts if part is not None), strict=True)
        return np.concatenate(vertices), np.concatenate(lengths)
    rings = shapely.get_exterior_ring(shapely.from_wkb(geometry.to_numpy()))
    foreign, ring_of = shapely.get_coordinates(rings, return_index=True)
    return foreign, np.bincount(ring_of, minlength=len(rings)).astype(np.int64)


def _rings_as_written(
    chunk: pa.BinaryArray,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]] | None:
    """Vertices and lengths of polygons as :func:`wkb_polygons` writes them; else None."""
    if chunk.type != pa.binary() or chunk.null_count:
        return None
    _, offset_bytes, content_bytes = chunk.buffers()
    offsets = np.frombuffer(offset_bytes, np.int32, len(chunk) + 1, 4 * chunk.offset)
    content = np.frombuffer(content_bytes, np.uint8)[offsets[0] : offsets[-1]]
    sizes, begins = np.diff(offsets), offsets[:-1] - offsets[0]
    if (sizes < _WKB_HEAD.itemsize).any():
        return None
    is_head = np.zeros(len(content), np.bool_)
    is_head[begins[:, None] + np.arange(_WKB_HEAD.itemsize)] = True
    heads = content[is_head].view(_WKB_HEAD)
    lengths = heads["n_points"].astype(np.int64)
    is_ours = (
        (heads["is_little_endian"] == 1)
        & (heads["kind"] == 3)
        & (heads["n_rings"] == 1)
        & (sizes == _WKB_HEAD.itemsize + _BYTES_PER_VERTEX * lengths)
    )
    if not is_ours.all():
        return None
    return content[~is_head].view("<f8").reshape(-1, 2).astype(np.float64, copy=False), lengths


def measurement_distributions(path: Path, columns: Sequence[str]) -> dict[str, Distribution]:
    """How measurements of a nuclei table are distributed; RAM holds one column.

    Columns without a single value are left out.
    """
    with pq.ParquetFile(path) as file:
        found = {
            name: Distribution.of(file.read(columns=[name])[name].to_numpy()) for name in columns
        }
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
