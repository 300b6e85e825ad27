"""Nuclei from far away: how dense they are and what they measure on average, as picture tiles."""

from __future__ import annotations

import math
import threading

import cv2
import numpy as np
import numpy.typing as npt

from hoverfast_platform.storage.nuclei_lookup import NucleiLookup
from hoverfast_platform.viewer.colours import shade_index, shades
from hoverfast_platform.viewer.pixels import TILE_PX

_MAX_CELLS = 4_000_000
_FINEST_UM = 8.0
_OPAQUE = 190


class DensityMap:
    """Counts of nuclei on a grid of the whole slide; safe to use from several threads.

    Args:
        lookup: The nuclei.
        width: Width of the slide's frame, level-0 pixels.
        height: Height of the slide's frame, level-0 pixels.
        mpp: Micrometres per level-0 pixel.
    """

    def __init__(self, lookup: NucleiLookup, width: int, height: int, mpp: float) -> None:
        self.cell_px = max(_FINEST_UM / mpp, math.sqrt(width * height / _MAX_CELLS))
        self._shape = math.ceil(height / self.cell_px), math.ceil(width / self.cell_px)
        self._lookup = lookup
        self._lock = threading.Lock()
        self._sums: dict[str, npt.NDArray[np.float32]] = {}
        self.counts = self._grid(None)
        blurred = cv2.GaussianBlur(self.counts, (0, 0), 1.5)
        within = blurred[blurred > 0.01]
        self._full = float(np.percentile(within, 98)) if len(within) else 1.0

    def tile(self, z: int, x: int, y: int, column: str, low: float, high: float) -> bytes:
        """PNG of a tile as :class:`SlidePictures` cuts them.

        Args:
            z: Zoom of the tile.
            x: Column of the tile.
            y: Row of the tile.
            column: Measurement that decides the colour; empty for the density itself.
            low: Value that gets the lowest colour.
            high: Value that gets the highest colour.
        """
        counts = self._cut(self.counts, z, x, y)
        share = np.clip(counts / self._full, 0, 1)
        if column:
            sums = self._cut(self._column(column), z, x, y)
            mean = np.where(counts > 1e-3, sums / np.maximum(counts, 1e-3), np.nan)
            index = shade_index(mean, low, high)
        else:
            index = shade_index(share, 0.0, 1.0)
        picture = np.empty((*share.shape, 4), np.uint8)
        picture[..., 2::-1] = shades()[np.maximum(index - 1, 0)]
        picture[..., 3] = np.where(index > 0, _OPAQUE * share**0.7, 0)
        _, encoded = cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 2])
        return bytes(encoded.tobytes())

    def _cut(
        self, grid: npt.NDArray[np.float32], z: int, x: int, y: int
    ) -> npt.NDArray[np.float32]:
        """A smooth piece of a grid, a quarter of a tile's pixels: the browser scales it up."""
        side = (TILE_PX << z) / self.cell_px
        n = TILE_PX // 2
        blurred_px = max(1.2, side / n)
        pad = 4 * blurred_px
        x0, y0 = x * side - pad, y * side - pad
        n_pad = round(n * (side + 2 * pad) / side)
        to_grid = np.array(
            [[(side + 2 * pad) / n_pad, 0, x0], [0, (side + 2 * pad) / n_pad, y0]], np.float64
        )
        if side > n:  # several cells a pixel: average them first
            left, top = math.floor(x0), math.floor(y0)
            size = math.ceil(side + 2 * pad)
            cut = _window(grid, left, top, size)
            piece = cv2.resize(cut, (n_pad, n_pad), interpolation=cv2.INTER_AREA)
        else:
            piece = cv2.warpAffine(
                grid,
                to_grid,
                (n_pad, n_pad),
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_CONSTANT,
            )
        sigma = blurred_px * n / side
        piece = cv2.GaussianBlur(piece, (0, 0), sigma)
        begin = round((n_pad - n) / 2)
        return np.asarray(piece[begin : begin + n, begin : begin + n], np.float32)

    def _column(self, column: str) -> npt.NDArray[np.float32]:
        with self._lock:
            if column not in self._sums:
                self._sums = {column: self._grid(column)}  # one more grid at a time
            return self._sums[column]

    def _grid(self, column: str | None) -> npt.NDArray[np.float32]:
        grid = np.zeros(self._shape, np.float32)
        names = ["centroid_x", "centroid_y", *([column] if column else [])]
        for block in self._lookup.iter_columns(names):
            j = np.clip((block["centroid_y"] / self.cell_px).astype(int), 0, self._shape[0] - 1)
            i = np.clip((block["centroid_x"] / self.cell_px).astype(int), 0, self._shape[1] - 1)
            weights = np.nan_to_num(block[column]) if column else np.float32(1)
            np.add.at(grid, (j, i), weights)
        return grid


def _window(
    grid: npt.NDArray[np.float32], left: int, top: int, size: int
) -> npt.NDArray[np.float32]:
    """A square cut out of a grid, with zeros where it leaves the grid."""
    out = np.zeros((size, size), np.float32)
    x0, y0 = max(0, left), max(0, top)
    x1, y1 = min(grid.shape[1], left + size), min(grid.shape[0], top + size)
    if x1 > x0 and y1 > y0:
        out[y0 - top : y1 - top, x0 - left : x1 - left] = grid[y0:y1, x0:x1]
    return out
