"""Decoding in plain words: OpenCV's components, a heap. What the compiled code must equal."""

import heapq

import cv2
import numpy as np

from hoverfast_platform.hv.decode import (
    MAX_HOLE_AREA_PX,
    MIN_FOREGROUND_AREA_PX,
    border_steepness,
)
from hoverfast_platform.hv.flooding import N_LEVELS


def decode_plainly(probability, hv_maps, decoding):
    foreground = (probability >= np.float32(decoding.foreground_threshold)).astype(np.uint8)
    foreground = without_small(fill_holes(foreground), MIN_FOREGROUND_AREA_PX)
    steepness = border_steepness(*(np.ascontiguousarray(m, np.float32) for m in hv_maps))
    seeds = foreground & (steepness < np.float32(decoding.border_steepness))
    cross = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)
    markers = without_small(
        cv2.morphologyEx(seeds, cv2.MORPH_OPEN, cross), decoding.min_marker_area_px
    )
    _, marker_map = cv2.connectedComponents(markers, connectivity=4)
    n_pieces, pieces = cv2.connectedComponents(foreground, connectivity=4)
    instances = np.zeros_like(pieces)
    for piece in range(1, n_pieces):
        inside = pieces == piece
        inner = np.where(inside, marker_map, 0)
        if len(np.unique(inner[inner > 0])) < 2:
            instances[inside] = instances.max() + 1
        else:
            grown = flood(inner, inside, levels(steepness))
            instances[inside] = grown[inside] + instances.max()
    return in_raster_order(instances)


def levels(steepness):
    return np.minimum((steepness * np.float32(N_LEVELS)).astype(int), N_LEVELS - 1)


def flood(markers, inside, level):
    """The pixel of least level next, among equals the one reached first."""
    labels = markers.copy()
    waiting = [(level[y, x], i, y, x) for i, (y, x) in enumerate(np.argwhere(labels > 0))]
    heapq.heapify(waiting)
    n = len(waiting)
    while waiting:
        _, _, y, x = heapq.heappop(waiting)
        for to_y, to_x in ((y - 1, x), (y, x - 1), (y, x + 1), (y + 1, x)):
            is_on_map = 0 <= to_y < labels.shape[0] and 0 <= to_x < labels.shape[1]
            if is_on_map and inside[to_y, to_x] and not labels[to_y, to_x]:
                labels[to_y, to_x] = labels[y, x]
                heapq.heappush(waiting, (level[to_y, to_x], n, to_y, to_x))
                n += 1
    return labels


def fill_holes(foreground):
    n, labels = cv2.connectedComponents(1 - foreground, connectivity=8)
    filled = foreground.copy()
    for hole in range(1, n):
        pixels = labels == hole
        at_border = pixels[0].any() or pixels[-1].any() or pixels[:, [0, -1]].any()
        if pixels.sum() <= MAX_HOLE_AREA_PX and not at_border:
            filled[pixels] = 1
    return filled


def without_small(mask, min_area):
    n, labels = cv2.connectedComponents(mask, connectivity=4)
    large = [i for i in range(1, n) if (labels == i).sum() >= min_area]
    return np.isin(labels, large).astype(np.uint8)


def in_raster_order(instances):
    values, first = np.unique(instances, return_index=True)
    ordered = [v for _, v in sorted(zip(first, values, strict=True)) if v]
    renumbered = np.zeros_like(instances)
    for number, value in enumerate(ordered, 1):
        renumbered[instances == value] = number
    return renumbered
