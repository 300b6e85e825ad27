"""Connected parts of a mask, as runs: stretches of equal pixels within a row.

A nucleus 20 px across is 20 runs but 300 pixels, and glass has hardly any: what is done by
runs costs next to nothing. Compiled; ``tests/unit/hv/plain_decode.py`` says the same with
OpenCV.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hoverfast_platform.compiled import compiled

Mask = npt.NDArray[np.uint8]
"""``(H, W)``, 0 or 1."""

Runs = npt.NDArray[np.int32]
"""``(R, 4)``: row, first column, column after the last, component. Raster order; components
are numbered from 0 in raster order of their first pixel."""


@compiled
def connected_runs(mask: Mask, wanted: int, reach: int) -> tuple[Runs, int]:
    """The runs of pixels that equal ``wanted``, and how many components they form.

    Args:
        mask: Zeros and ones.
        wanted: Which of them to follow.
        reach: 0: pixels touch by their sides (4-connected); 1: by corners too (8-connected).
    """
    height, width = mask.shape
    n_runs = _count_runs(mask, wanted)
    runs = np.empty((n_runs, 4), np.int32)
    parent = np.arange(n_runs)
    n, above, above_end = 0, 0, 0  # runs found; those of the row above
    for y in range(height):
        row = mask[y]
        first = n
        x = 0
        while True:
            while x < width and row[x] != wanted:
                x += 1
            if x == width:
                break
            start = x
            while x < width and row[x] == wanted:
                x += 1
            runs[n, 0], runs[n, 1], runs[n, 2] = y, start, x
            while above < above_end and runs[above, 2] + reach <= start:
                above += 1
            i = above
            while i < above_end and runs[i, 1] < x + reach:
                _join(parent, i, n)
                i += 1
            n += 1
        above, above_end = first, n
    return runs, _number_components(runs, parent)


@compiled
def _count_runs(mask: Mask, wanted: int) -> int:
    height, width = mask.shape
    n_runs = 0
    for y in range(height):
        row = mask[y]
        n_runs += row[0] == wanted
        for x in range(1, width):
            n_runs += (row[x] == wanted) & (row[x - 1] != wanted)
    return n_runs


@compiled
def _number_components(runs: Runs, parent: npt.NDArray[np.int64]) -> int:
    """Write each run's component into its last column; returns how many there are."""
    n_components = 0
    for i in range(len(runs)):
        if parent[i] == i:
            runs[i, 3] = n_components
            n_components += 1
        else:
            runs[i, 3] = runs[parent[i], 3]  # a parent comes before its children
    return n_components


@compiled
def _join(parent: npt.NDArray[np.int64], a: int, b: int) -> None:
    """Make two runs one component; the root is its first run."""
    while parent[a] != a:
        parent[a] = parent[parent[a]]
        a = parent[a]
    while parent[b] != b:
        parent[b] = parent[parent[b]]
        b = parent[b]
    parent[max(a, b)] = min(a, b)


@compiled
def component_areas(runs: Runs, n_components: int) -> npt.NDArray[np.int64]:
    """``(n_components,)`` pixels."""
    areas = np.zeros(n_components, np.int64)
    for i in range(len(runs)):
        areas[runs[i, 3]] += runs[i, 2] - runs[i, 1]
    return areas


@compiled
def _paint(mask: Mask, run: npt.NDArray[np.int32], value: int) -> None:
    """Set the pixels of a run."""
    row = mask[run[0]]
    for x in range(run[1], run[2]):
        row[x] = value


@compiled
def fill_holes(mask: Mask, max_area: int) -> None:
    """Set zeros that the ones enclose to one, in place; holes above ``max_area`` stay."""
    height, width = mask.shape
    runs, n_components = connected_runs(mask, 0, 1)
    is_hole = component_areas(runs, n_components) <= max_area
    for i in range(len(runs)):
        y, x0, x1 = runs[i, 0], runs[i, 1], runs[i, 2]
        if y == 0 or x0 == 0 or y == height - 1 or x1 == width:
            is_hole[runs[i, 3]] = False
    for i in range(len(runs)):
        if is_hole[runs[i, 3]]:
            _paint(mask, runs[i], 1)


@compiled
def keep_large_parts(mask: Mask, min_area: int) -> tuple[Runs, int]:
    """Erase 4-connected parts of fewer than ``min_area`` pixels, in place.

    Returns:
        The runs of the others, numbered without gaps, and how many parts they are.
    """
    runs, n_components = connected_runs(mask, 1, 0)
    areas = component_areas(runs, n_components)
    number = np.full(n_components, -1)
    n_kept = 0
    for component in range(n_components):
        if areas[component] >= min_area:
            number[component] = n_kept
            n_kept += 1
    n = 0
    for i in range(len(runs)):
        component = number[runs[i, 3]]
        if component >= 0:
            for column in range(3):
                runs[n, column] = runs[i, column]
            runs[n, 3] = component
            n += 1
        else:
            _paint(mask, runs[i], 0)
    return runs[:n], n_kept
