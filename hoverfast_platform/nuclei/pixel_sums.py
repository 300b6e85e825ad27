"""Sums over the pixels of each instance, one pass over a region for all of them.

Coordinates are summed as whole numbers, in raster order from each instance's first pixel, so
two regions that see the same pixels give the same bits. Compiled; the tests compare with numpy
and scikit-image.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hoverfast_platform.arrays import InstanceMap, RgbImage
from hoverfast_platform.compiled import compiled


@compiled
def sum_places(
    instances: InstanceMap, probability: npt.NDArray[np.float32], n_labels: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Per label ``(n_labels, 3)`` pixels, sum of x, sum of y; and sum of the probability."""
    height, width = instances.shape
    places = np.zeros((n_labels, 3), np.int64)
    belief = np.zeros(n_labels, np.float64)
    for y in range(height):
        for x in range(width):
            label = instances[y, x]
            if label > 0:
                places[label, 0] += 1
                places[label, 1] += x
                places[label, 2] += y
                belief[label] += probability[y, x]
    return places, belief


@compiled
def sum_shape_and_stains(
    instances: InstanceMap,
    row_of: npt.NDArray[np.int32],
    n_rows: int,
    rgb: RgbImage,
    density_of: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """What second moments and the stains' mean and deviation are made of.

    Args:
        instances: ``(H, W)``.
        row_of: Row of each label, -1 for those not asked for.
        n_rows: Number of rows of the result.
        rgb: ``(H, W, 3)``.
        density_of: ``(3, 256, 2)`` share of a channel's byte in both stains' optical density.

    Returns:
        ``(n_rows, 6)`` pixels, and sums of x, y, xx, yy, xy from the first pixel; ``(n_rows, 4)``
        sums of both densities, then of their squares.
    """
    height, width = instances.shape
    shape = np.zeros((n_rows, 6), np.int64)
    stains = np.zeros((n_rows, 4), np.float64)
    first = np.zeros((n_rows, 2), np.int64)
    for y in range(height):
        for x in range(width):
            label = instances[y, x]
            if label <= 0:
                continue
            row = row_of[label]
            if row < 0:
                continue
            if shape[row, 0] == 0:
                first[row, 0], first[row, 1] = x, y
            dx, dy = x - first[row, 0], y - first[row, 1]
            shape[row, 0] += 1
            shape[row, 1] += dx
            shape[row, 2] += dy
            shape[row, 3] += dx * dx
            shape[row, 4] += dy * dy
            shape[row, 5] += dx * dy
            red, green, blue = rgb[y, x, 0], rgb[y, x, 1], rgb[y, x, 2]
            for stain in range(2):
                density = np.float64(
                    density_of[0, red, stain]
                    + density_of[1, green, stain]
                    + density_of[2, blue, stain]
                )
                stains[row, stain] += density
                stains[row, 2 + stain] += density * density
    return shape, stains
