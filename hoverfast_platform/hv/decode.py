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

from hoverfast_platform.arrays import ForegroundProbability, HvMaps, InstanceMap, NetworkMaps
from hoverfast_platform.config import InstanceDecoding
from hoverfast_platform.errors import ArrayContractError
from hoverfast_platform.half_precision import to_float32
from hoverfast_platform.hv.components import fill_holes, keep_large_parts
from hoverfast_platform.hv.flooding import grow_markers

SLOPE_KERNEL_PX = 7
"""Side of the Sobel kernel. HoVer-Net uses 21; at 7 two touching
nuclei of 8 px still have separate borders. On TNBC 5 to 15 differ by less than 0.003 PQ."""

MIN_FOREGROUND_AREA_PX = 10
"""Specks of foreground below this hold no nucleus at any supported mpp."""

MAX_HOLE_AREA_PX = 150
"""Largest hole filled: a vesicular nucleus with an unstained centre, 9 um2 at 0.25 mpp. Larger
ones are kept: a ring of touching nuclei around a gland's lumen is not one nucleus."""

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
    borders between neighbours (:func:`border_steepness`), and :func:`split_foreground` does the
    rest.

    Args:
        foreground_probability: ``(H, W)``, 0..1.
        hv_maps: ``(2, H, W)``, horizontal first, nominally in [-1, 1].
        decoding: As for :func:`split_foreground`.

    Returns:
        ``(H, W)`` instance map.

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
    steepness = border_steepness(*(to_float32(plane) for plane in hv_maps))
    return split_foreground(foreground_probability, steepness, decoding)


def split_foreground(
    foreground_probability: ForegroundProbability,
    steepness: npt.NDArray[np.floating],
    decoding: InstanceDecoding,
) -> InstanceMap:
    """Separately numbered nuclei, from where nuclei are and where borders between them run.

    What is left of the foreground once the borders are taken out holds one marker per nucleus.
    A watershed grows the markers back to the foreground's edge. Pieces of foreground that hold
    a single marker need no watershed: the whole piece is the nucleus.

    Args:
        foreground_probability: ``(H, W)``, 0..1.
        steepness: ``(H, W)`` as of :func:`border_steepness`.
        decoding: Threshold of the foreground, steepness of a border, smallest marker kept.
            ``min_nucleus_area_um2`` is not applied here: pixels have no size yet.

    Returns:
        ``(H, W)`` instance map: 0 is background, nuclei are numbered 1..N without gaps in
        raster order of their first pixel, holes filled. All zeros where there is no
        foreground. A piece too small to hold a marker is one nucleus as a whole.
    """
    probability, steepness = to_float32(foreground_probability), to_float32(steepness)
    foreground = (probability >= np.float32(decoding.foreground_threshold)).view(np.uint8)
    fill_holes(foreground, MAX_HOLE_AREA_PX)
    pieces, n_pieces = keep_large_parts(foreground, MIN_FOREGROUND_AREA_PX)
    if n_pieces == 0:
        return np.zeros(foreground.shape, np.int32)
    seeds = foreground & (steepness < np.float32(decoding.border_steepness)).view(np.uint8)
    opened = cv2.morphologyEx(seeds, cv2.MORPH_OPEN, _OPENING)
    markers, n_markers = keep_large_parts(opened, decoding.min_marker_area_px)
    return grow_markers(pieces, n_pieces, markers, n_markers, steepness)


def without_small_nuclei(
    instance_map: InstanceMap, mpp: float, decoding: InstanceDecoding
) -> InstanceMap:
    """The instance map without nuclei below the settings' smallest area; numbers are kept."""
    too_small = np.bincount(instance_map.ravel()) * mpp**2 < decoding.min_nucleus_area_um2
    too_small[0] = False
    kept: InstanceMap = np.where(too_small[instance_map], 0, instance_map).astype(np.int32)
    return kept


def border_steepness(
    horizontal: npt.NDArray[np.float32], vertical: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """How steeply the HV maps fall at each pixel, ``(H, W)``, 0 where they rise.

    1 is the response to a perfect border, a fall from 1 to -1 between two pixels along a
    straight line; the larger of the falls in x and in y counts. Predictors compute it on their
    device, see ``model.border_steepness``.
    """
    fall, smoothing = slope_kernels()
    fall_x = cv2.sepFilter2D(horizontal, cv2.CV_32F, fall, smoothing)
    fall_y = cv2.sepFilter2D(vertical, cv2.CV_32F, smoothing, fall)
    return cv2.max(cv2.max(fall_x, fall_y), 0.0)


def decodable_maps(maps: NetworkMaps) -> npt.NDArray[np.float32]:
    """What predictors hand to the workers, ``(2, H, W)``, before they round it."""
    return np.stack((maps[0], border_steepness(maps[1], maps[2])))


def slope_kernels() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Sobel's kernel along a slope and across it, ``(7,)`` each; a perfect border gives 1."""
    derivative, smoothing = cv2.getDerivKernels(1, 0, SLOPE_KERNEL_PX, normalize=False)
    # Response of the kernel pair to a step of height 2, used as the unit.
    unit = 2.0 * float(np.abs(derivative).sum()) / 2.0 * float(smoothing.sum())
    fall: npt.NDArray[np.float32] = (derivative / -unit).ravel().astype(np.float32)
    return fall, smoothing.ravel().astype(np.float32)
