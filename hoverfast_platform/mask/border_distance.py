"""How far places on tissue are from where the tissue mask ends."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from hoverfast_platform.arrays import PointsXY
from hoverfast_platform.mask.tissue_mask import TissueMask


class BorderDistance:
    """Distances to a mask's border, computed once per slide.

    The border is where tissue meets no tissue; the frame's edge counts, since nothing is
    known beyond it. As fine as the mask's pixels, 8 um for the built-in one.
    """

    def __init__(self, mask: TissueMask) -> None:
        self._mask = mask
        framed = cv2.copyMakeBorder(
            mask.is_tissue.view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0
        )
        # To the nearest centre of a pixel without tissue; the border is half a pixel before.
        self._distance_px = cv2.distanceTransform(framed, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)

    def um(self, points: PointsXY) -> npt.NDArray[np.float32]:
        """Micrometres from each point (level-0 pixels) to the border; 0 where no tissue is."""
        mask = self._mask
        height, width = mask.is_tissue.shape
        column = np.clip(points[:, 0] / mask.scale_x, 0, width - 1).astype(np.int64)
        row = np.clip(points[:, 1] / mask.scale_y, 0, height - 1).astype(np.int64)
        distance_px = self._distance_px[row + 1, column + 1]
        pixel_um = np.sqrt(mask.pixel_area_um2)
        distance: npt.NDArray[np.float32] = np.maximum(distance_px - 0.5, 0) * pixel_um
        return distance.astype(np.float32)
