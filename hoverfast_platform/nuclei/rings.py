"""Closed rings of whole numbers: are they valid, and what their shape measures.

Whole numbers make the test for validity exact. Compiled; the tests hold it equal to shapely.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hoverfast_platform.compiled import compiled

WholeXY = npt.NDArray[np.int64]
"""``(V, 2)`` x, y on some grid, below 2**30 so that products stay exact."""

Starts = npt.NDArray[np.int64]
"""``(N + 1,)`` first row of each ring in the vertices."""


@compiled
def closed_rings(vertices: WholeXY, starts: Starts) -> tuple[WholeXY, Starts]:
    """Rings closed by repeating their first vertex, other repeated vertices left out."""
    n_rings = len(starts) - 1
    closed = np.empty((len(vertices) + n_rings, 2), np.int64)
    closed_starts = np.zeros(n_rings + 1, np.int64)
    n = 0
    for i in range(n_rings):
        first = n
        for j in range(starts[i], starts[i + 1]):
            x, y = vertices[j, 0], vertices[j, 1]
            if n == first or x != closed[n - 1, 0] or y != closed[n - 1, 1]:
                closed[n, 0], closed[n, 1] = x, y
                n += 1
        if (
            n == first + 1
            or closed[n - 1, 0] != closed[first, 0]
            or (closed[n - 1, 1] != closed[first, 1])
        ):
            closed[n, 0], closed[n, 1] = closed[first, 0], closed[first, 1]
            n += 1
        closed_starts[i + 1] = n
    return closed[:n], closed_starts


@compiled
def are_simple(vertices: WholeXY, starts: Starts) -> npt.NDArray[np.bool_]:
    """Which closed rings turn counter-clockwise (y up) and nowhere touch or cross themselves.

    Such a ring is a valid polygon. Takes time by the square of a ring's vertices, of which an
    outline has some twenty.
    """
    n_rings = len(starts) - 1
    simple = np.zeros(n_rings, np.bool_)
    for i in range(n_rings):
        ring = vertices[starts[i] : starts[i + 1]]
        simple[i] = len(ring) >= 4 and _twice_area(ring) > 0 and not _meets_itself(ring)
    return simple


@compiled
def _twice_area(ring: WholeXY) -> int:
    twice = 0
    for i in range(len(ring) - 1):  # from the first vertex: differences stay small
        ax, ay = ring[i, 0] - ring[0, 0], ring[i, 1] - ring[0, 1]
        bx, by = ring[i + 1, 0] - ring[0, 0], ring[i + 1, 1] - ring[0, 1]
        twice += ax * by - bx * ay
    return twice


@compiled
def _meets_itself(ring: WholeXY) -> bool:
    n = len(ring) - 1
    for i in range(n):
        ax, ay, bx, by = ring[i, 0], ring[i, 1], ring[i + 1, 0], ring[i + 1, 1]
        j = (i + 1) % n
        dx, dy = ring[j + 1, 0] - bx, ring[j + 1, 1] - by
        if (bx - ax) * dy == (by - ay) * dx and (bx - ax) * dx + (by - ay) * dy < 0:
            return True  # the next side turns back on this one
        low_x, high_x, low_y, high_y = min(ax, bx), max(ax, bx), min(ay, by), max(ay, by)
        for j in range(i + 2, n - (i == 0)):
            cx, cy, dx, dy = ring[j, 0], ring[j, 1], ring[j + 1, 0], ring[j + 1, 1]
            if max(cx, dx) < low_x or min(cx, dx) > high_x:
                continue
            if max(cy, dy) < low_y or min(cy, dy) > high_y:
                continue
            # Boxes overlap: sides meet unless both ends of one lie strictly to one side.
            c_side = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
            d_side = (bx - ax) * (dy - ay) - (by - ay) * (dx - ax)
            if (c_side > 0 and d_side > 0) or (c_side < 0 and d_side < 0):
                continue
            a_side = (dx - cx) * (ay - cy) - (dy - cy) * (ax - cx)
            b_side = (dx - cx) * (by - cy) - (dy - cy) * (bx - cx)
            if (a_side > 0 and b_side > 0) or (a_side < 0 and b_side < 0):
                continue
            return True
    return False


@compiled
def are_clear(
    vertices_xy: npt.NDArray[np.float64], starts: Starts, clearance: float
) -> npt.NDArray[np.bool_]:
    """In which closed rings every vertex is at least so far from each side it is not an end of.

    Sides that nearly touch are valid, and fold onto each other when another program rounds them.
    """
    n_rings = len(starts) - 1
    clear = np.ones(n_rings, np.bool_)
    for i in range(n_rings):
        ring = vertices_xy[starts[i] : starts[i + 1]]
        n = len(ring) - 1
        for j in range(n):
            if clear[i] and _comes_near(ring, j, clearance):
                clear[i] = False
    return clear


@compiled
def _comes_near(ring: npt.NDArray[np.float64], side: int, clearance: float) -> bool:
    """Whether a vertex that is not an end of the side lies within ``clearance`` of it."""
    n = len(ring) - 1
    ax, ay, bx, by = ring[side, 0], ring[side, 1], ring[side + 1, 0], ring[side + 1, 1]
    low_x, high_x = min(ax, bx) - clearance, max(ax, bx) + clearance
    low_y, high_y = min(ay, by) - clearance, max(ay, by) + clearance
    side_x, side_y = bx - ax, by - ay
    squared = side_x * side_x + side_y * side_y
    for j in range(n):
        px, py = ring[j, 0], ring[j, 1]
        if px < low_x or px > high_x or py < low_y or py > high_y:
            continue
        if j == side or j == (side + 1) % n:
            continue
        along = 0.0
        if squared > 0:
            along = min(max(((px - ax) * side_x + (py - ay) * side_y) / squared, 0.0), 1.0)
        dx, dy = px - ax - along * side_x, py - ay - along * side_y
        if dx * dx + dy * dy < clearance * clearance:
            return True
    return False


@compiled
def lengths_and_solidity(
    vertices_xy: npt.NDArray[np.float64], starts: Starts, mpp_x: float, mpp_y: float
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Length of each closed ring in micrometres, and its area over that of its convex hull."""
    n_rings = len(starts) - 1
    lengths, solidity = np.empty(n_rings, np.float32), np.empty(n_rings, np.float32)
    for i in range(n_rings):
        ring = vertices_xy[starts[i] : starts[i + 1]]
        length, twice_area = 0.0, 0.0
        for j in range(len(ring) - 1):
            dx, dy = ring[j + 1, 0] - ring[j, 0], ring[j + 1, 1] - ring[j, 1]
            length += np.sqrt((dx * mpp_x) ** 2 + (dy * mpp_y) ** 2)
            twice_area += (ring[j, 0] - ring[0, 0]) * dy - (ring[j, 1] - ring[0, 1]) * dx
        lengths[i] = length
        solidity[i] = min(abs(twice_area) / _twice_hull_area(ring), 1.0)
    return lengths, solidity


@compiled
def _twice_hull_area(ring: npt.NDArray[np.float64]) -> float:
    """Area of the convex hull, from its lower and upper chain (Andrew)."""
    n_points = len(ring) - 1
    points = np.empty((n_points, 2), np.float64)  # sorted by x, then y
    for i in range(n_points):
        x, y = ring[i, 0] - ring[0, 0], ring[i, 1] - ring[0, 1]
        j = i
        while j > 0 and (points[j - 1, 0] > x or (points[j - 1, 0] == x and points[j - 1, 1] > y)):
            points[j, 0], points[j, 1] = points[j - 1, 0], points[j - 1, 1]
            j -= 1
        points[j, 0], points[j, 1] = x, y
    chain = np.empty(n_points, np.int64)
    twice_area = 0.0
    for is_upper in range(2):
        n = 0
        for i in range(n_points):
            point = n_points - 1 - i if is_upper else i
            while n > 1 and _turn(points[chain[n - 2]], points[chain[n - 1]], points[point]) <= 0:
                n -= 1
            chain[n] = point
            n += 1
        for i in range(n - 1):
            a, b = points[chain[i]], points[chain[i + 1]]
            twice_area += a[0] * b[1] - b[0] * a[1]
    return twice_area


@compiled
def _turn(
    a: npt.NDArray[np.float64], b: npt.NDArray[np.float64], c: npt.NDArray[np.float64]
) -> float:
    """Above 0 where the way from a over b to c turns counter-clockwise."""
    return float((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))


@compiled
def enclosed_areas(vertices_xy: npt.NDArray[np.float64], starts: Starts) -> npt.NDArray[np.float64]:
    """Area inside each closed ring, in squares of its unit."""
    areas = np.empty(len(starts) - 1, np.float64)
    for i in range(len(starts) - 1):
        ring = vertices_xy[starts[i] : starts[i + 1]]
        twice = 0.0
        for j in range(len(ring) - 1):
            ax, ay = ring[j, 0] - ring[0, 0], ring[j, 1] - ring[0, 1]
            bx, by = ring[j + 1, 0] - ring[0, 0], ring[j + 1, 1] - ring[0, 1]
            twice += ax * by - bx * ay
        areas[i] = abs(twice) / 2
    return areas
