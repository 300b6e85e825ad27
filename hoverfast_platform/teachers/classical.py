"""A teacher without weights: colour deconvolution, threshold, distance watershed.

For demos, tests, and a first look where nothing better is at hand. It follows stain, not
shape: on H&E expect many misses of pale nuclei and merged clumps.
"""

from __future__ import annotations

import cv2
import numpy as np
from scipy.ndimage import binary_fill_holes, distance_transform_edt
from skimage.color import rgb2hed
from skimage.feature import peak_local_max
from skimage.filters import threshold_otsu
from skimage.segmentation import watershed

from hoverfast_platform.arrays import InstanceMap
from hoverfast_platform.config import Settings
from hoverfast_platform.teachers.teacher import TeacherDescription, TileImage


class ClassicalSettings(Settings):
    """Settings of :class:`ClassicalTeacher`."""

    mpp: float = 0.25
    smoothing_um: float = 0.4
    """Sigma of the blur before the threshold."""
    min_contrast: float = 0.02
    """Least difference of hematoxylin (OD) between nuclei and the rest; flatter images have
    no nuclei. Otsu's threshold cuts anything in two, blank glass too."""
    min_diameter_um: float = 2.5
    """Smaller objects are dropped, and two peaks nearer than this are one nucleus."""


class ClassicalTeacher:
    """Ruifrok and Johnston's deconvolution (2001), Otsu's threshold (1979), watershed."""

    def __init__(self, settings: ClassicalSettings = ClassicalSettings()) -> None:
        self.mpp = settings.mpp
        self._settings = settings

    def describe(self) -> TeacherDescription:
        return TeacherDescription(
            name=f"classical {self._settings.model_dump_json()}", licence="CC0-1.0"
        )

    def label(self, tile: TileImage) -> InstanceMap:
        """Nuclei of the tile; none where its hematoxylin is flat."""
        settings = self._settings
        sigma_px = settings.smoothing_um / tile.mpp
        stain = rgb2hed(tile.rgb)[..., 0].astype(np.float32)
        stain = cv2.GaussianBlur(stain, (0, 0), sigma_px)
        threshold = threshold_otsu(stain)
        is_dark = stain > threshold
        if not is_dark.any() or is_dark.all():
            return np.zeros(stain.shape, dtype=np.int32)
        if stain[is_dark].mean() - stain[~is_dark].mean() < settings.min_contrast:
            return np.zeros(stain.shape, dtype=np.int32)
        diameter_px = settings.min_diameter_um / tile.mpp
        is_nucleus = binary_fill_holes(is_dark)
        depth = distance_transform_edt(is_nucleus)
        depth = cv2.GaussianBlur(depth.astype(np.float32), (0, 0), sigma_px)
        peaks = peak_local_max(
            depth, min_distance=max(1, round(diameter_px)), labels=is_nucleus, exclude_border=False
        )
        markers = np.zeros(stain.shape, dtype=np.int32)
        markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
        instances = watershed(-depth, markers, mask=is_nucleus)
        areas = np.bincount(instances.ravel())
        too_small = areas < np.pi / 4 * diameter_px**2
        too_small[0] = False
        labelled: InstanceMap = np.where(too_small[instances], 0, instances).astype(np.int32)
        return labelled
