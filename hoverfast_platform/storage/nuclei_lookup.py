"""Nuclei of a place, cut from a nuclei table on demand; memory does not grow with the table.

A table is written block by block, and a block is a few neighbouring tiles. Parquet keeps the
smallest and largest centroid of each block, so the blocks of a place are known without reading.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from hoverfast_platform.errors import StorageError
from hoverfast_platform.nuclei.nucleus import Nuclei
from hoverfast_platform.storage.nuclei_table import (
    DAMAGED_TABLE,
    PLACE_COLUMNS,
    column_values,
    nuclei_of_rows,
)

_KEPT_BYTES = 32 << 20
"""Most bytes of decoded blocks kept in memory."""


@dataclass(frozen=True)
class Place:
    """A rectangle of level-0 pixels of the slide's frame."""

    x0: float
    y0: float
    x1: float
    y1: float


@dataclass(frozen=True)
class Found:
    """Nuclei of a place with their numbers in the table, ``(N,)``."""

    nuclei: Nuclei
    rows: npt.NDArray[np.int64]


class NucleiLookup:
    """An open nuclei table that is asked for places. Safe to use from several threads.

    Args:
        path: The table.
        reach_px: How far an outline can lie from its centroid, level-0 pixels.

    Attributes:
        n_rows: Nuclei in the table.
        columns: Measurements it has.

    Raises:
        StorageError: If it cannot be read.
    """

    def __init__(self, path: Path, reach_px: float) -> None:
        self._path, self._reach_px = path, reach_px
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[int, tuple[str, ...]], Nuclei] = OrderedDict()
        try:
            self._file = pq.ParquetFile(path)
            metadata = self._file.metadata
            names = self._file.schema_arrow.names
            self.columns = tuple(n for n in names if n not in PLACE_COLUMNS)
            self._boxes = _boxes(metadata, names.index("centroid_x"), names.index("centroid_y"))
        except DAMAGED_TABLE as error:
            raise StorageError(
                f"{path} is not a readable nuclei table: {error}.", "Make the result anew."
            ) from error
        n_rows = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
        self._first_rows = np.concatenate([[0], np.cumsum(n_rows)]).astype(np.int64)
        self.n_rows = int(self._first_rows[-1])

    def close(self) -> None:
        """Release the file."""
        self._file.close()

    def within(self, place: Place, column: str = "") -> Found:
        """Nuclei whose outline reaches into a place, by their bounding boxes.

        Args:
            place: The place.
            column: A measurement that they are to have; none if empty.

        Raises:
            StorageError: If the table cannot be read.
        """
        reach = self._reach_px
        box = self._boxes
        hit = np.flatnonzero(
            (box[:, 0] < place.x1 + reach)
            & (box[:, 2] > place.x0 - reach)
            & (box[:, 1] < place.y1 + reach)
            & (box[:, 3] > place.y0 - reach)
        )
        columns = (column,) if column else ()
        parts, rows = [Nuclei.empty(columns=columns)], [np.empty(0, np.int64)]
        for group in hit.tolist():
            nuclei = self._group(group, columns)
            chosen = np.flatnonzero(_reaching(nuclei, place, reach))
            parts.append(nuclei.take(chosen))
            rows.append(self._first_rows[group] + chosen)
        return Found(Nuclei.concatenate(parts), np.concatenate(rows))

    def row(self, number: int) -> tuple[str, Nuclei]:
        """Id and values of one nucleus.

        Raises:
            StorageError: If there is no such row, or the table cannot be read.
        """
        if not 0 <= number < self.n_rows:
            raise StorageError(f"None of the {self.n_rows} nuclei has the number {number}.", "")
        group = int(np.searchsorted(self._first_rows, number, side="right")) - 1
        place = number - int(self._first_rows[group])
        whole = self._read(group, None)
        return str(whole["id"][place].as_py()), nuclei_of_rows(whole.slice(place, 1))

    def ids(self, rows: npt.NDArray[np.int64]) -> list[str]:
        """Ids of rows, in that order."""
        groups = np.searchsorted(self._first_rows, rows, side="right") - 1
        found = {g: self._read(g, ["id"])["id"].to_pylist() for g in np.unique(groups).tolist()}
        return [
            found[g][row - int(self._first_rows[g])]
            for g, row in zip(groups.tolist(), rows.tolist(), strict=True)
        ]

    def iter_columns(self, columns: Sequence[str]) -> Iterator[dict[str, npt.NDArray[Any]]]:
        """Some columns of all nuclei, block by block.

        Raises:
            StorageError: If the table cannot be read.
        """
        for group in range(len(self._boxes)):
            table = self._read(group, list(columns))
            yield {name: column_values(table[name]) for name in columns}

    def _group(self, index: int, columns: tuple[str, ...]) -> Nuclei:
        asked = index, columns
        with self._lock:
            if asked in self._kept:
                self._kept.move_to_end(asked)
                return self._kept[asked]
        nuclei = nuclei_of_rows(self._read(index, [*_NEEDED, *columns]))
        with self._lock:
            self._kept[asked] = nuclei
            while len(self._kept) > 1 and sum(map(_bytes, self._kept.values())) > _KEPT_BYTES:
                self._kept.popitem(last=False)
        return nuclei

    def _read(self, group: int, columns: list[str] | None) -> pa.Table:
        try:
            with self._lock:  # a Parquet file is no file for two threads
                return self._file.read_row_group(group, columns=columns, use_threads=False)
        except DAMAGED_TABLE as error:
            raise StorageError(f"{self._path} cannot be read: {error}.", "") from error


_NEEDED = ("geometry", "centroid_x", "centroid_y", "tile")


def _boxes(metadata: Any, x: int, y: int) -> npt.NDArray[np.float64]:
    """``(groups, 4)`` x0, y0, x1, y1 of the centroids; everywhere where nothing is kept."""
    boxes = np.empty((metadata.num_row_groups, 4))
    for i in range(metadata.num_row_groups):
        group = metadata.row_group(i)
        along = [group.column(column).statistics for column in (x, y)]
        if all(s is not None and s.has_min_max for s in along):
            boxes[i] = along[0].min, along[1].min, along[0].max, along[1].max
        else:
            boxes[i] = -np.inf, -np.inf, np.inf, np.inf
    return boxes


def _reaching(nuclei: Nuclei, place: Place, reach: float) -> npt.NDArray[np.bool_]:
    x, y = nuclei.centroid_xy.T
    near: npt.NDArray[np.bool_] = (
        (x > place.x0 - reach)
        & (x < place.x1 + reach)
        & (y > place.y0 - reach)
        & (y < place.y1 + reach)
    )
    if near.any():
        low, high = nuclei.boxes_xy()
        near &= (low[:, 0] < place.x1) & (high[:, 0] > place.x0)
        near &= (low[:, 1] < place.y1) & (high[:, 1] > place.y0)
    return near


def _bytes(nuclei: Nuclei) -> int:
    return int(nuclei.vertices_xy.nbytes) + len(nuclei) * (32 + 4 * len(nuclei.measurements))
