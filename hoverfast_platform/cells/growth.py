"""Nuclei on a grid of pixels, grown until they meet or have gone far enough.

A pixel belongs to the nucleus whose pixels are nearest, if they are near enough; of two that are
equally near, to the one with the lower number. That is decided by the nuclei within the distance
alone, so it does not depend on which piece of a slide is looked at. Compiled; the tests compare
with the plain form.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hoverfast_platform.arrays import InstanceMap
from hoverfast_platform.compiled import compiled


@compiled
def grow(labels: InstanceMap, may_grow: npt.NDArray[np.bool_], distance_px: float) -> InstanceMap:
    """The map with every label grown by a distance, measured between centres of pixels.

    Only what hangs together with the nucleus, by the sides of pixels, is kept.

    Args:
        labels: ``(H, W)``, 0 where no nucleus is.
        may_grow: ``(H, W)``, where cells may be; nuclei stay as they are elsewhere too.
        distance_px: In pixels.
    """
    height, width = labels.shape
    reach = int(np.floor(distance_px))
    limit = distance_px * distance_px
    above, nearest = _nearest_in_column(labels, reach)
    grown = labels.copy()
    for y in range(height):
        for x in range(width):
            if labels[y, x] > 0 or not may_grow[y, x]:
                continue
            best, best_label = limit, 0
            for dx in range(reach + 1):
                if dx * dx > best:
                    break
                for side in range(2 if dx else 1):
                    column = x - dx if side else x + dx
                    if column < 0 or column >= width or nearest[y, column] == 0:
                        continue
                    label = nearest[y, column]
                    squared = float(dx * dx + above[y, column] * above[y, column])
                    if squared < best or (
                        squared == best and (best_label == 0 or label < best_label)
                    ):
                        best, best_label = squared, label
            grown[y, x] = best_label
    return _connected(labels, grown)


@compiled
def _nearest_in_column(labels: InstanceMap, reach: int) -> tuple[InstanceMap, InstanceMap]:
    """How far the nearest nucleus of the same column is, and which; 0 where none is near."""
    height, width = labels.shape
    distances = np.full((height, width), reach + 1, np.int32)
    nearest = np.zeros((height, width), np.int32)
    for upwards in range(2):
        last_label = np.zeros(width, np.int32)
        last_row = np.zeros(width, np.int64)
        for i in range(height):
            y = height - 1 - i if upwards else i
            for x in range(width):
                if labels[y, x] > 0:
                    last_label[x], last_row[x] = labels[y, x], y
                label, distance = last_label[x], abs(y - last_row[x])
                if label == 0 or distance > reach:
                    continue
                known = distances[y, x]
                if distance < known or (distance == known and label < nearest[y, x]):
                    distances[y, x], nearest[y, x] = distance, label
    return distances, nearest


@compiled
def _connected(labels: InstanceMap, grown: InstanceMap) -> InstanceMap:
    """The pixels of ``grown`` that a nucleus reaches through its own."""
    height, width = labels.shape
    kept = labels.copy()
    queue = np.empty((height * width, 2), np.int32)
    n = 0
    for y in range(height):
        for x in range(width):
            if labels[y, x] > 0:
                queue[n, 0], queue[n, 1] = y, x
                n += 1
    done = 0
    while done < n:
        y, x = queue[done, 0], queue[done, 1]
        done += 1
        for side in range(4):
            other_y = y + (1 if side == 0 else -1 if side == 1 else 0)
            other_x = x + (1 if side == 2 else -1 if side == 3 else 0)
            if not (0 <= other_y < height and 0 <= other_x < width):
                continue
            if kept[other_y, other_x] == 0 and grown[other_y, other_x] == kept[y, x]:
                kept[other_y, other_x] = kept[y, x]
                queue[n, 0], queue[n, 1] = other_y, other_x
                n += 1
    return kept
