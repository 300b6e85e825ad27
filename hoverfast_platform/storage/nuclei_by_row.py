"""Nuclei of chosen rows, read from a table when they are asked for.

Centroids and bounding boxes of all are kept, outlines of a few blocks: a tenth of the whole table.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from hoverfast_platform.errors import StorageError
from hoverfast_platform.nuclei.nucleus import Nuclei
from hoverfast_platform.storage.nuclei_table import DAMAGED_TABLE, nuclei_of_rows

_NEEDED = ["geometry", "centroid_x", "centroid_y", "tile"]
_KEPT_VERTICES = 4_000_000
"""Most vertices of decoded blocks kept in memory, 16 bytes each."""


class NucleiByRow:
    """The outlines of a table, without measurements; a context manager that closes the file.

    Args:
        path: The table.

    Attributes:
        centroid_xy: ``(N, 2)`` level-0 pixels.

    Raises:
        StorageError: If it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept: OrderedDict[int, Nuclei] = OrderedDict()
        try:
            self._file = pq.ParquetFile(path)
        except DAMAGED_TABLE as error:
            raise self._unreadable(error) from error
        first = Nuclei.empty()
        centroids, lows, highs = [first.centroid_xy], *([box] for box in first.boxes_xy())
        for index in range(self._file.num_row_groups):
            block = self._read(index)
            low, high = block.boxes_xy()
            centroids.append(block.centroid_xy)
            lows.append(low)
            highs.append(high)
        self._first_rows = np.cumsum([0, *map(len, centroids[1:])]).astype(np.int64)
        self.centroid_xy: npt.NDArray[np.float64] = np.concatenate(centroids)
        self._boxes = np.concatenate(lows), np.concatenate(highs)

    def __enter__(self) -> NucleiByRow:
        return self

    def __exit__(self, *_exc_info: object) -> None:
        self._file.close()

    def __len__(self) -> int:
        return len(self.centroid_xy)

    def boxes_xy(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Lower and upper corners of the outlines' bounding boxes, ``(N, 2)`` each."""
        return self._boxes

    def take(self, rows: npt.NDArray[Any]) -> Nuclei:
        """The given rows, in that order.

        Raises:
            StorageError: If the table cannot be read.
        """
        group_of = np.searchsorted(self._first_rows, rows, side="right") - 1
        groups, place = np.unique(group_of, return_inverse=True)
        parts = [Nuclei.empty()]
        for group in groups.tolist():
            parts.append(self._block(group).take(rows[group_of == group] - self._first_rows[group]))
        order = np.empty(len(rows), np.int64)
        order[np.argsort(place, kind="stable")] = np.arange(len(rows))
        return Nuclei.concatenate(parts).take(order)

    def _block(self, index: int) -> Nuclei:
        if index in self._kept:
            self._kept.move_to_end(index)
            return self._kept[index]
        self._kept[index] = self._read(index)
        while (
            len(self._kept) > 1
            and sum(len(block.vertices_xy) for block in self._kept.values()) > _KEPT_VERTICES
        ):
            self._kept.popitem(last=False)
        return self._kept[index]

    def _read(self, index: int) -> Nuclei:
        try:
            return nuclei_of_rows(self._file.read_row_group(index, columns=_NEEDED))
        except DAMAGED_TABLE as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> StorageError:
        return StorageError(f"{self._path} is not a readable nuclei table: {error}.", "")
