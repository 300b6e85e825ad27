"""How much of each pixel of a coarse grid lies inside an outline, exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from hoverfast_platform.geometry import Box

_FULL = 1 - 1e-9


def covered_shares(
    geometry: Any, shape: tuple[int, int], *, scale_x: float, scale_y: float
) -> tuple[Box, npt.NDArray[np.float64]]:
    """The part of a grid that an outline can touch, and the covered share of every pixel there.

    The outline is halved again and again along the grid's lines. What covers a square wholly is
    not halved further, so the time goes with the outline's length and not with its area.

    Args:
        geometry: Valid shapely polygon or multipolygon, in level-0 pixels.
        shape: (height, width) of the grid.
        scale_x: Level-0 pixels per pixel of the grid, x.
        scale_y: Level-0 pixels per pixel of the grid, y.

    Returns:
        The window in pixels of the grid, empty where the outline misses the grid, and its
        ``(window height, window width)`` shares, 0..1.
    """
    scaled = shapely.transform(geometry, lambda xy: xy / (scale_x, scale_y))
    if scaled.is_empty:
        return Box(x0=0, y0=0, x1=0, y1=0), np.zeros((0, 0))
    x0, y0, x1, y1 = scaled.bounds
    grid = Box.at_origin(width=shape[1], height=shape[0])
    window = Box(
        x0=int(np.floor(x0)), y0=int(np.floor(y0)), x1=int(np.ceil(x1)), y1=int(np.ceil(y1))
    ).clipped(grid)
    shares = np.zeros((window.height, window.width))
    if window.is_empty:
        return window, shares
    side = 1 << int(np.ceil(np.log2(max(window.width, window.height))))
    cells = np.array([[window.x0, window.y0]])
    pieces = np.array([scaled], dtype=np.object_)
    while len(cells):
        pieces = shapely.intersection(pieces, shapely.box(*cells.T, *(cells + side).T))
        areas = shapely.area(pieces) / side**2
        for (x, y), share in zip(cells[areas >= _FULL], areas[areas >= _FULL], strict=True):
            row, column = y - window.y0, x - window.x0
            shares[row : row + side, column : column + side] = min(share, 1.0)
        is_part = (areas > 0) & (areas < _FULL)
        cells, pieces, areas = cells[is_part], pieces[is_part], areas[is_part]
        if side == 1:
            is_inside = (cells[:, 0] < window.x1) & (cells[:, 1] < window.y1)
            column, row = (cells[is_inside] - (window.x0, window.y0)).T
            shares[row, column] = areas[is_inside]
            break
        side //= 2
        quarters = np.array([[0, 0], [side, 0], [0, side], [side, side]])
        cells = (cells[:, None] + quarters).reshape(-1, 2)
        pieces = np.repeat(pieces, 4)
    return window, shares
