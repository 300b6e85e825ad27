"""Shapes in masks: small pieces, gaps, narrow parts. Lengths are in the mask's pixels."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from hoverfast_platform.arrays import TissuePixels


def without_small(mask: TissuePixels, min_area_px: float) -> TissuePixels:
    """The mask without pieces smaller than an area."""
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(
        np.ascontiguousarray(mask).view(np.uint8), connectivity=8
    )
    keep = statistics[:, cv2.CC_STAT_AREA] >= min_area_px
    keep[0] = False
    kept: TissuePixels = keep[labels]
    return kept


def grown(mask: TissuePixels, radius_px: float) -> TissuePixels:
    """The mask widened by a radius, rounded to whole pixels."""
    return cv2.dilate(np.ascontiguousarray(mask).view(np.uint8), _disk(radius_px)).view(np.bool_)


def opened(mask: TissuePixels, radius_px: float) -> TissuePixels:
    """The mask without parts narrower than twice a radius."""
    pixels = np.ascontiguousarray(mask).view(np.uint8)
    return cv2.morphologyEx(pixels, cv2.MORPH_OPEN, _disk(radius_px)).view(np.bool_)


def closed(mask: TissuePixels, radius_px: float) -> TissuePixels:
    """The mask with gaps narrower than twice a radius filled."""
    pixels = np.ascontiguousarray(mask).view(np.uint8)
    return cv2.morphologyEx(pixels, cv2.MORPH_CLOSE, _disk(radius_px)).view(np.bool_)


def _disk(radius_px: float) -> npt.NDArray[np.uint8]:
    size = 2 * round(radius_px) + 1
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    return np.asarray(disk, dtype=np.uint8)


def connected_to(mask: TissuePixels, seeds: TissuePixels) -> TissuePixels:
    """The pieces of a mask in which a seed lies."""
    _, labels = cv2.connectedComponents(mask.view(np.uint8), connectivity=8)
    keep = np.zeros(int(labels.max()) + 1, dtype=np.bool_)
    keep[np.unique(labels[seeds & mask])] = True
    keep[0] = False
    kept: TissuePixels = keep[labels]
    return kept


def pieces_with_median_below(
    mask: TissuePixels, values: npt.NDArray[np.float32], limit: float
) -> TissuePixels:
    """The pieces of a mask at most of whose pixels a value is below a limit."""
    _, labels = cv2.connectedComponents(np.ascontiguousarray(mask).view(np.uint8), connectivity=8)
    area = np.bincount(labels.ravel())
    n_below = np.bincount(labels[values < limit], minlength=len(area))
    is_below = 2 * n_below > area
    is_below[0] = False
    found: TissuePixels = is_below[labels]
    return found
