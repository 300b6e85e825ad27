"""Outlines drawn as pixels, the one rule for label images and for cells. Compiled."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hoverfast_platform.arrays import InstanceMap
from hoverfast_platform.compiled import compiled


@compiled
def fill_rings(
    labels: InstanceMap,
    vertices_xy: npt.NDArray[np.float64],
    starts: npt.NDArray[np.int64],
    numbers: npt.NDArray[np.int32],
) -> None:
    """Draw closed rings: a pixel has the number of a ring if its centre lies inside.

    Where several rings cover a pixel the lowest number has it, in whatever order they come.

    Args:
        labels: ``(height, width)``, 0 where nothing is drawn yet; changed in place.
        vertices_xy: ``(V, 2)`` in pixels of the image; they may leave it.
        starts: ``(N + 1,)`` first row of each ring.
        numbers: ``(N,)`` above 0.
    """
    height, width = labels.shape
    crossings = np.empty(len(vertices_xy) + 1, np.float64)
    for i in range(len(starts) - 1):
        ring = vertices_xy[starts[i] : starts[i + 1]]
        low, high = ring[0, 1], ring[0, 1]
        for j in range(len(ring)):
            low, high = min(low, ring[j, 1]), max(high, ring[j, 1])
        for row in range(max(0, int(np.floor(low))), min(height, int(np.ceil(high)) + 1)):
            centre = row + 0.5
            n = 0
            for j in range(len(ring) - 1):
                ay, by = ring[j, 1], ring[j + 1, 1]
                if (ay > centre) != (by > centre):
                    along = (centre - ay) / (by - ay)
                    crossings[n] = ring[j, 0] + along * (ring[j + 1, 0] - ring[j, 0])
                    n += 1
            inside = np.sort(crossings[:n])
            for k in range(0, n - 1, 2):
                first = max(0, int(np.ceil(inside[k] - 0.5)))
                last = min(width, int(np.ceil(inside[k + 1] - 0.5)))
                for column in range(first, last):
                    if labels[row, column] == 0 or numbers[i] < labels[row, column]:
                        labels[row, column] = numbers[i]
