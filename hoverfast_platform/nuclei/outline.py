"""The outline of an instance as a ring of few vertices, traced along the edges of its pixels.

``cv2.findContours`` goes through pixel *centres*, which makes a nucleus 20 px across about 10 %
too small (the published HoverFast keeps that). The ring here goes through the middles of the
pixels' outer edges: it encloses half a pixel less than the pixels whatever their number, is
straight along a diagonal where the edges are a staircase, and never touches itself. All is
integer arithmetic on half pixels, so an outline does not depend on where in a region it lies.
Compiled; ``tests/unit/nuclei/plain_outline.py`` says the same with shapely.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hoverfast_platform.arrays import InstanceMap
from hoverfast_platform.compiled import compiled

HalfPixels = npt.NDArray[np.int64]
"""``(V, 2)`` x, y in half pixels of the region; 0 is the region's edge."""

Starts = npt.NDArray[np.int64]
"""``(N + 1,)`` first row of each ring in the vertices."""


@compiled
def trace_outlines(
    instances: InstanceMap, labels: npt.NDArray[np.int64], tolerance_per_length: float
) -> tuple[HalfPixels, Starts]:
    """Open outer rings of 4-connected instances, counter-clockwise with y up.

    Args:
        instances: ``(H, W)`` instance map; holes in an instance are ignored.
        labels: ``(N,)`` those to trace, each present. Of one in several parts the first in
            raster order is traced.
        tolerance_per_length: How far a ring may leave the outline, per length of the outline.
    """
    first_pixel = _first_pixels(instances, labels)
    vertices = np.empty((64 * len(labels) + 64, 2), np.int64)
    starts = np.zeros(len(labels) + 1, np.int64)
    ring = np.empty((1024, 2), np.int64)
    n = 0
    for i in range(len(labels)):
        ring, n_ring, length = _follow_edges(instances, first_pixel[i], ring)
        keep = _corners_to_keep(ring[:n_ring], tolerance_per_length * length)
        if n + n_ring > len(vertices):
            vertices = _longer(vertices, 2 * len(vertices) + n_ring)
        for j in range(n_ring):
            if keep[j]:
                vertices[n, 0], vertices[n, 1] = ring[j, 0], ring[j, 1]
                n += 1
        starts[i + 1] = n
    return vertices[:n], starts


@compiled
def _longer(points: HalfPixels, length: int) -> HalfPixels:
    """The same points at the start of a longer array."""
    longer = np.empty((length, 2), np.int64)
    for i in range(len(points)):
        longer[i, 0], longer[i, 1] = points[i, 0], points[i, 1]
    return longer


@compiled
def _first_pixels(instances: InstanceMap, labels: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Find the first pixel of each label, in raster order, as an index into the flat map."""
    flat = instances.reshape(-1)
    n_wanted = len(labels)
    highest = 0
    for i in range(n_wanted):
        highest = max(highest, labels[i])
    row_of = np.full(highest + 1, -1)
    for i in range(n_wanted):
        row_of[labels[i]] = i
    first_pixel = np.zeros(n_wanted, np.int64)
    for at in range(len(flat)):
        label = flat[at]
        if 0 < label <= highest and row_of[label] >= 0:
            first_pixel[row_of[label]] = at
            row_of[label] = -1
            n_wanted -= 1
            if n_wanted == 0:
                break
    return first_pixel


@compiled
def _follow_edges(
    instances: InstanceMap, first_pixel: int, ring: HalfPixels
) -> tuple[HalfPixels, int, float]:
    """Once around an instance, from the upper edge of its first pixel, the instance at right.

    Returns:
        The ring, in the array given or a longer one; how many vertices it has, those on a
        straight line left out; its length in half pixels.
    """
    width = instances.shape[1]
    start_y, start_x = first_pixel // width, first_pixel % width
    label = instances[start_y, start_x]
    y, x = start_y, start_x  # of the corner last reached
    dx, dy = 1, 0
    step_x, step_y = 0, 0
    n, length = 0, 0.0
    while n == 0 or dx != 1 or x != start_x or y != start_y:
        if n == len(ring):
            ring = _longer(ring, 2 * n)
        ring[n, 0], ring[n, 1] = 2 * x + dx, 2 * y + dy
        x, y = x + dx, y + dy
        # The two pixels ahead of the corner, left and right of the way.
        left_x, left_y = x + (dx + dy - 1) // 2, y + (dy - dx - 1) // 2
        right_x, right_y = x + (dx - dy - 1) // 2, y + (dy + dx - 1) // 2
        turn_x, turn_y = dx, dy
        if not _is_label(instances, right_y, right_x, label):
            turn_x, turn_y = -dy, dx
        elif _is_label(instances, left_y, left_x, label):
            turn_x, turn_y = dy, -dx
        if dx + turn_x != step_x or dy + turn_y != step_y:
            n += 1  # else the vertex lies on the line to the next one, which replaces it
        step_x, step_y = dx + turn_x, dy + turn_y
        length += 2.0 if turn_x == dx and turn_y == dy else np.sqrt(2.0)
        dx, dy = turn_x, turn_y
    return ring, n, length


@compiled
def _is_label(instances: InstanceMap, y: int, x: int, label: int) -> bool:
    height, width = instances.shape
    return bool(0 <= y < height and 0 <= x < width and instances[y, x] == label)


@compiled
def _corners_to_keep(ring: HalfPixels, tolerance: float) -> npt.NDArray[np.bool_]:
    """Which vertices Douglas and Peucker keep, between the first and the one farthest from it.

    Args:
        ring: ``(V, 2)``, open.
        tolerance: Largest distance of a dropped vertex from the side that replaces it.
    """
    n = len(ring)
    keep = np.zeros(n, np.bool_)
    keep[0] = True
    farthest, largest = 0, 0
    for i in range(1, n):
        distance = (ring[i, 0] - ring[0, 0]) ** 2 + (ring[i, 1] - ring[0, 1]) ** 2
        if distance > largest:
            farthest, largest = i, distance
    keep[farthest] = True
    todo = np.empty((n + 1, 2), np.int64)
    todo[0, 0], todo[0, 1] = 0, farthest
    todo[1, 0], todo[1, 1] = farthest, n  # n is the first vertex again
    n_todo = 2
    while n_todo > 0:
        n_todo -= 1
        a, b = todo[n_todo, 0], todo[n_todo, 1]
        worst, worst_distance = -1, tolerance * tolerance
        for i in range(a + 1, b):
            distance = _squared_distance(ring[i], ring[a], ring[b % n])
            if distance > worst_distance:
                worst, worst_distance = i, distance
        if worst >= 0:
            keep[worst] = True
            todo[n_todo, 0], todo[n_todo, 1] = a, worst
            todo[n_todo + 1, 0], todo[n_todo + 1, 1] = worst, b
            n_todo += 2
    return keep


@compiled
def _squared_distance(
    point: npt.NDArray[np.int64], a: npt.NDArray[np.int64], b: npt.NDArray[np.int64]
) -> float:
    """Square of the distance of a point from the side between two others."""
    side_x, side_y = b[0] - a[0], b[1] - a[1]
    x, y = point[0] - a[0], point[1] - a[1]
    along, side_squared = x * side_x + y * side_y, side_x * side_x + side_y * side_y
    if along <= 0 or side_squared == 0:
        return float(x * x + y * y)
    if along >= side_squared:
        return float((point[0] - b[0]) ** 2 + (point[1] - b[1]) ** 2)
    across = float(x * side_y - y * side_x)
    return across * across / float(side_squared)
