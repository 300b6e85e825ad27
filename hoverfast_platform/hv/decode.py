"""Turn predicted maps into an instance map.

The inverse of ``encode``; the two files together define what an HV map is. Only arrays in,
arrays out: works in region pixels and knows nothing of slides, tiles or mpp. Runs in worker
processes, so it must not import torch.

Every step is local (a filter or a connected component) and every scale is fixed, so a
nucleus comes out the same in whichever region it is seen whole. The published HoverFast
stretches maps and slopes to each tile's own minimum and maximum, which cuts the same nucleus
differently in two neighbouring tiles.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from skimage.segmentation import watershed

from hoverfast_platform.arrays import Foreground, ForegroundProbability, HvMaps, InstanceMap
from hoverfast_platform.config import InstanceDecoding
from hoverfast_platform.errors import ArrayContractError

SLOPE_KERNEL_PX = 7
"""Side of the Sobel kernel. HoVer-Net uses 21; at 7 two touching
nuclei of 8 px still have separate borders. On TNBC 5 to 15 differ by less than 0.003 PQ."""

MIN_FOREGROUND_AREA_PX = 10
"""Specks of foreground below this hold no nucleus at any supported mpp."""

_OPENING = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))


def decode_instance_map(
    foreground_probability: ForegroundProbability,
    hv_maps: HvMaps,
    *,
    decoding: InstanceDecoding = InstanceDecoding(),
) -> InstanceMap:
    """Split the foreground of one region into separately numbered nuclei.

    Inside a nucleus both HV maps rise smoothly from -1 to 1; where two nuclei touch, they
    drop back from 1 to -1 within a pixel or two. The steepness of that drop marks the
    borders between neighbours, and what is left of the foreground once the borders are taken
    out holds one marker per nucleus. A watershed grows the markers back to the foreground's
    edge. Pieces of foreground that hold a single marker need no watershed: the whole piece
    is the nucleus.

    Args:
        foreground_probability: ``(H, W)``, 0..1.
        hv_maps: ``(2, H, W)``, horizontal first, nominally in [-1, 1].
        decoding: Threshold of the foreground, steepness of a border, smallest marker kept.
            ``min_nucleus_area_um2`` is not applied here: pixels have no size yet.

    Returns:
        ``(H, W)`` instance map: 0 is background, nuclei are numbered 1..N without gaps in
        raster order of their first pixel, holes filled. All zeros where there is no
        foreground. A piece too small to hold a marker is one nucleus as a whole.

    Raises:
        ArrayContractError: If the inputs differ in height or width, or ``hv_maps`` does not
            have exactly two planes.

    References:
        Graham et al., HoVer-Net, Medical Image Analysis 58 (2019) 101563. Their released code
        takes the larger of the two slopes after stretching each to 0..1 per image; this takes
        the larger of the two *falling* slopes on a fixed scale.
    """
    if hv_maps.shape != (2, *foreground_probability.shape):
        raise ArrayContractError(
            f"hv_maps must have shape (2, {foreground_probability.shape[0]}, "
            f"{foreground_probability.shape[1]}) to match the foreground, got {hv_maps.shape}. "
            "A trailing channel axis means the maps were not moved to channels-first."
        )
    foreground = clean_foreground(foreground_probability >= decoding.foreground_threshold)
    steepness = border_steepness(hv_maps)
    n_pieces, pieces = cv2.connectedComponents(foreground.view(np.uint8), connectivity=4)
    markers = _find_markers(foreground & (steepness < decoding.border_steepness), decoding)
    return _grow_markers(pieces, n_pieces, markers, steepness)


def without_small_nuclei(
    instance_map: InstanceMap, mpp: float, decoding: InstanceDecoding
) -> InstanceMap:
    """The instance map without nuclei below the settings' smallest area; numbers are kept."""
    too_small = np.bincount(instance_map.ravel()) * mpp**2 < decoding.min_nucleus_area_um2
    too_small[0] = False
    kept: InstanceMap = np.where(too_small[instance_map], 0, instance_map).astype(np.int32)
    return kept


def clean_foreground(foreground: Foreground) -> Foreground:
    """The foreground without specks and with holes filled."""
    filled = _fill_holes(foreground)
    n, labels, statistics, _ = cv2.connectedComponentsWithStats(
        filled.view(np.uint8), connectivity=4
    )
    keep = statistics[:, cv2.CC_STAT_AREA] >= MIN_FOREGROUND_AREA_PX
    keep[0] = False
    return keep[labels] if n > 1 else filled


def border_steepness(hv_maps: HvMaps) -> npt.NDArray[np.float32]:
    """How steeply the HV maps fall at each pixel, ``(H, W)``, 0 where they rise.

    1 is the response to a perfect border, a fall from 1 to -1 between two pixels along a
    straight line; the larger of the falls in x and in y counts.
    """
    horizontal = np.ascontiguousarray(hv_maps[0], dtype=np.float32)
    vertical = np.ascontiguousarray(hv_maps[1], dtype=np.float32)
    derivative, smoothing = cv2.getDerivKernels(1, 0, SLOPE_KERNEL_PX, normalize=False)
    # Response of the kernel pair to a step of height 2, used as the unit.
    unit = 2.0 * float(np.abs(derivative).sum()) / 2.0 * float(smoothing.sum())
    fall_x = cv2.sepFilter2D(horizontal, cv2.CV_32F, derivative / -unit, smoothing)
    fall_y = cv2.sepFilter2D(vertical, cv2.CV_32F, smoothing, derivative / -unit)
    steepest: npt.NDArray[np.float32] = np.maximum(np.maximum(fall_x, fall_y), 0.0)
    return steepest


def _fill_holes(foreground: Foreground) -> Foreground:
    """Background that does not reach the region's border becomes foreground.

    Holes larger than any nucleus' interior are kept: a ring of touching nuclei around a
    gland's lumen is not one nucleus.
    """
    background = (~foreground).view(np.uint8)
    n, labels, statistics, _ = cv2.connectedComponentsWithStats(background, connectivity=8)
    if n <= 1:
        return foreground
    height, width = foreground.shape
    left, top = statistics[:, cv2.CC_STAT_LEFT], statistics[:, cv2.CC_STAT_TOP]
    right = left + statistics[:, cv2.CC_STAT_WIDTH]
    bottom = top + statistics[:, cv2.CC_STAT_HEIGHT]
    is_hole = (left > 0) & (top > 0) & (right < width) & (bottom < height)
    is_hole &= statistics[:, cv2.CC_STAT_AREA] <= MAX_HOLE_AREA_PX
    is_hole[0] = False  # label 0 is the foreground here
    if not is_hole.any():
        return foreground
    filled: Foreground = foreground | is_hole[labels]
    return filled


MAX_HOLE_AREA_PX = 150
"""Largest hole filled: a vesicular nucleus with an unstained centre, 9 um2 at 0.25 mpp."""


def _find_markers(seeds: Foreground, decoding: InstanceDecoding) -> InstanceMap:
    """Number the seeds that survive an opening and are large enough, 0 elsewhere."""
    opened = cv2.morphologyEx(seeds.view(np.uint8), cv2.MORPH_OPEN, _OPENING)
    n, labels, statistics, _ = cv2.connectedComponentsWithStats(opened, connectivity=4)
    keep = statistics[:, cv2.CC_STAT_AREA] >= decoding.min_marker_area_px
    keep[0] = False
    renumber = np.cumsum(keep, dtype=np.int32) * keep
    markers: InstanceMap = renumber[labels] if n > 1 else labels
    return markers


def _grow_markers(
    pieces: InstanceMap,
    n_pieces: int,
    markers: InstanceMap,
    steepness: npt.NDArray[np.float32],
) -> InstanceMap:
    """Grow markers to the edge of their piece; a piece with fewer than two is left whole."""
    at = np.flatnonzero(markers)
    # A marker is connected foreground and so lies in one piece: any of its pixels tells which.
    piece_of_marker = np.zeros(int(markers.max(initial=0)) + 1, dtype=np.int32)
    piece_of_marker[markers.ravel()[at]] = pieces.ravel()[at]
    is_clump = np.bincount(piece_of_marker[1:], minlength=n_pieces) > 1
    if not is_clump.any():
        return pieces.astype(np.int32, copy=False)
    in_clump = is_clump[pieces]
    split = watershed(steepness, np.where(in_clump, markers, 0), mask=in_clump)
    instances = np.where(in_clump, split + n_pieces, pieces)
    return _renumber_in_raster_order(instances)


def _renumber_in_raster_order(instances: npt.NDArray[np.integer]) -> InstanceMap:
    """Numbers 1..N in order of each nucleus's first pixel, so equal input gives equal numbers."""
    flat = instances.ravel()
    at = np.flatnonzero(flat)
    first = np.full(int(flat.max(initial=0)) + 1, flat.size, dtype=np.int64)
    first[flat[at[::-1]]] = at[::-1]  # of several values for one place the last, the first pixel
    labels = np.flatnonzero(first < flat.size)
    new_number = np.zeros(len(first), dtype=np.int32)
    new_number[labels[np.argsort(first[labels])]] = np.arange(1, len(labels) + 1, dtype=np.int32)
    return new_number[instances]
