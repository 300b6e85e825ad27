"""HoVer-Net's own decoder: the reference for its instances. Students have their own.

As in the released code: foreground at 0.5, both maps and both slopes stretched to 0..1 over the
image, the larger of the two slopes, markers where it is below 0.4. No torch here.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_fill_holes, label
from skimage.segmentation import watershed

from hoverfast_platform.arrays import ForegroundProbability, HvMaps, InstanceMap

FOREGROUND_THRESHOLD = 0.5
SLOPE_KERNEL_PX = 21
BORDER_THRESHOLD = 0.4
MIN_OBJECT_PX = 10
"""Smallest area of foreground pieces and of markers."""


def decode_as_hovernet(
    foreground_probability: ForegroundProbability, hv_maps: HvMaps
) -> InstanceMap:
    """Instances of a whole image.

    Args:
        foreground_probability: ``(H, W)``, 0..1.
        hv_maps: ``(2, H, W)``, horizontal first.

    Returns:
        ``(H, W)`` instance map; ids have gaps where pieces without a marker were.
    """
    foreground = _without_specks(foreground_probability >= FOREGROUND_THRESHOLD) > 0
    if not foreground.any():
        return np.zeros(foreground.shape, dtype=np.int32)
    steepness = np.maximum(_steepness(hv_maps[0], dx=1), _steepness(hv_maps[1], dx=0))
    steepness = np.maximum(steepness - ~foreground, 0)
    depth = -cv2.GaussianBlur((1.0 - steepness) * foreground, (3, 3), 0)
    inside = foreground & ~(steepness >= BORDER_THRESHOLD)
    markers = binary_fill_holes(inside).astype(np.uint8)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    markers = cv2.morphologyEx(markers, cv2.MORPH_OPEN, disc)
    instances: InstanceMap = watershed(
        depth, markers=_without_specks(markers), mask=foreground
    ).astype(np.int32)
    return instances


def _steepness(hv_map: npt.NDArray[np.floating], dx: int) -> npt.NDArray[np.float32]:
    """Slope of a map along its axis, 1 where it falls most and 0 where it rises most."""
    slope = cv2.Sobel(_stretched(hv_map), cv2.CV_64F, dx, 1 - dx, ksize=SLOPE_KERNEL_PX)
    fall: npt.NDArray[np.float32] = 1.0 - _stretched(slope)
    return fall


def _stretched(values: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    values = np.ascontiguousarray(values)
    if values.dtype == np.float16:  # OpenCV has no half precision
        values = values.astype(np.float32)
    return cv2.normalize(values, None, alpha=0, beta=1, norm_type=cv2.NORM_MINMAX, dtype=cv2.CV_32F)


def _without_specks(objects: npt.NDArray[np.generic]) -> InstanceMap:
    """Numbered 4-connected objects of at least the smallest size."""
    numbered, _ = label(objects)
    too_small = np.bincount(numbered.ravel()) < MIN_OBJECT_PX
    too_small[0] = False
    kept: InstanceMap = np.where(too_small[numbered], 0, numbered).astype(np.int32)
    return kept
