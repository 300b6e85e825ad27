"""Pieces of foreground and markers to numbered nuclei: a watershed of what needs one.

A piece with fewer than two markers is a nucleus as it is. In the others markers grow, always
the pixel of least level first and among equals the one reached first, which a queue per level
gives without sorting. Compiled; ``tests/unit/hv/plain_decode.py`` says the same with a heap.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hoverfast_platform.arrays import InstanceMap
from hoverfast_platform.compiled import compiled
from hoverfast_platform.hv.components import Runs

N_LEVELS = 1024
"""Number of levels of steepness between 0 and 1: a step is an eightieth of what makes a border."""

_UNCLAIMED = -1


@compiled
def grow_markers(
    pieces: Runs,
    n_pieces: int,
    markers: Runs,
    n_markers: int,
    steepness: npt.NDArray[np.float32],
) -> InstanceMap:
    """Instance map of the pieces, numbered 1..N in raster order of their first pixels.

    Args:
        pieces: Connected foreground.
        n_pieces: How many.
        markers: Each lies in one piece.
        n_markers: How many.
        steepness: ``(H, W)``; levels are its thousandths, roughly.
    """
    instances = np.zeros(steepness.shape, np.int32)
    for i in range(len(pieces)):
        _paint(instances, pieces[i], pieces[i, 3] + 1)
    if _claim_by_markers(instances, pieces, n_pieces, markers, n_markers):
        _flood(instances, markers, steepness)
    _number_in_raster_order(instances, pieces, n_pieces + n_markers)
    return instances


@compiled
def _paint(instances: InstanceMap, run: npt.NDArray[np.int32], number: int) -> None:
    row = instances[run[0]]
    for x in range(run[1], run[2]):
        row[x] = number


@compiled
def _claim_by_markers(
    instances: InstanceMap, pieces: Runs, n_pieces: int, markers: Runs, n_markers: int
) -> bool:
    """In pieces of several markers, leave only the markers' pixels claimed; was there any?"""
    piece_of_marker = np.zeros(n_markers, np.int64)
    for i in range(len(markers)):
        piece_of_marker[markers[i, 3]] = instances[markers[i, 0], markers[i, 1]] - 1
    n_in_piece = np.zeros(n_pieces, np.int64)
    is_any = False
    for i in range(n_markers):
        n_in_piece[piece_of_marker[i]] += 1
        is_any |= n_in_piece[piece_of_marker[i]] > 1
    for i in range(len(pieces)):
        if n_in_piece[pieces[i, 3]] > 1:
            _paint(instances, pieces[i], _UNCLAIMED)
    for i in range(len(markers)):
        marker = markers[i, 3]
        if n_in_piece[piece_of_marker[marker]] > 1:
            _paint(instances, markers[i], n_pieces + 1 + marker)
    return is_any


@compiled
def _number_in_raster_order(instances: InstanceMap, pieces: Runs, highest: int) -> None:
    new_number = np.zeros(highest + 1, np.int32)
    n_nuclei = 0
    for i in range(len(pieces)):
        row = instances[pieces[i, 0]]
        for x in range(pieces[i, 1], pieces[i, 2]):
            if new_number[row[x]] == 0:
                n_nuclei += 1
                new_number[row[x]] = n_nuclei
            row[x] = new_number[row[x]]


@compiled
def _flood(instances: InstanceMap, markers: Runs, steepness: npt.NDArray[np.float32]) -> None:
    """Give unclaimed pixels the number of the marker that reaches them first, in place."""
    height, width = instances.shape
    flat, steep = instances.reshape(-1), steepness.reshape(-1)
    first, last = np.full(N_LEVELS, -1), np.full(N_LEVELS, -1)  # of each level's queue
    following = np.empty(height * width, np.int32)
    neighbours = np.empty(4, np.int64)
    level = N_LEVELS
    for i in range(len(markers)):
        start = np.int64(markers[i, 0]) * width
        for at in range(start + markers[i, 1], start + markers[i, 2]):
            for j in range(_neighbours_of(at, height, width, neighbours)):
                if flat[neighbours[j]] == _UNCLAIMED:
                    level = min(level, _enqueue(at, steep[at], first, last, following))
                    break
    while level < N_LEVELS:
        at = first[level]
        if at < 0:
            level += 1
            continue
        first[level] = following[at]
        for j in range(_neighbours_of(at, height, width, neighbours)):
            to = neighbours[j]
            if flat[to] == _UNCLAIMED:
                flat[to] = flat[at]
                level = min(level, _enqueue(to, steep[to], first, last, following))


@compiled
def _neighbours_of(at: int, height: int, width: int, neighbours: npt.NDArray[np.int64]) -> int:
    """Write the pixels beside one, upper, left, right, lower; returns how many there are."""
    y, x = at // width, at % width
    n = 0
    if y > 0:
        neighbours[n] = at - width
        n += 1
    if x > 0:
        neighbours[n] = at - 1
        n += 1
    if x < width - 1:
        neighbours[n] = at + 1
        n += 1
    if y < height - 1:
        neighbours[n] = at + width
        n += 1
    return n


@compiled
def _enqueue(
    at: int,
    steepness: float,
    first: npt.NDArray[np.int64],
    last: npt.NDArray[np.int64],
    following: npt.NDArray[np.int32],
) -> int:
    """Put a pixel at the end of its level's queue; returns the level."""
    scaled = float(steepness) * N_LEVELS
    level = int(min(scaled, N_LEVELS - 1.0)) if scaled > 0 else 0  # 0 too if it is not a number
    following[at] = -1
    if first[level] < 0:
        first[level] = at
    else:
        following[last[level]] = at
    last[level] = at
    return level
