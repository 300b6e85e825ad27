"""The built-in tissue mask: what absorbs light, compared with this slide's own glass.

Simple on purpose; named artefacts (pen, folds, blur) are HistoQC's business.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from hoverfast_platform.arrays import RgbImage
from hoverfast_platform.config import TissueDetection
from hoverfast_platform.mask.tissue_mask import TissueMask
from hoverfast_platform.slide.reader import SlideReader
from hoverfast_platform.slide.thumbnail import read_at_downsample

_GLASS_LEVELS = (200, 256)
"""Grey levels in which glass is looked for; darker backgrounds are scanner padding."""

_BLACK_LEVEL = 8
"""All channels below this: scanner padding, not tissue (necrosis and ink are lighter)."""


def find_tissue(reader: SlideReader, detection: TissueDetection = TissueDetection()) -> TissueMask:
    """Find tissue on the whole slide.

    Optical density above the slide's own glass, averaged over the three channels, is
    thresholded at a fixed value, so that a blank slide has an empty mask and a slide full of
    tissue a full one; a threshold found per slide (Otsu) splits both in two.

    Args:
        reader: The slide; read once, at ``detection.mpp``.
        detection: Resolution, threshold and sizes, all physical.

    Returns:
        The mask over the slide's frame; all False where there is no tissue.
    """
    info = reader.info
    rgb = read_at_downsample(reader, max(1.0, detection.mpp / info.mpp.mean))
    mask_mpp = info.mpp.mean * info.width / rgb.shape[1]
    is_tissue = _absorbs(rgb, detection.min_optical_density, blur_px=max(0.5, 8.0 / mask_mpp))
    pixel_area_um2 = mask_mpp**2
    is_tissue = _without_small(is_tissue, detection.min_tissue_area_um2 / pixel_area_um2)
    is_tissue = ~_without_small(~is_tissue, detection.max_hole_area_um2 / pixel_area_um2)
    radius = round(detection.dilation_um / mask_mpp)
    if radius > 0 and is_tissue.any():
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
        is_tissue = cv2.dilate(is_tissue.view(np.uint8), kernel).view(np.bool_)
    return TissueMask.of_slide(
        info,
        is_tissue,
        "builtin",
        provenance={"settings": detection.model_dump(), "glass": _glass(rgb).tolist()},
    )


def whole_slide(reader: SlideReader) -> TissueMask:
    """A mask that lets everything through: ROI images, which a person has chosen."""
    return TissueMask.of_slide(reader.info, np.ones((1, 1), dtype=np.bool_), "none", provenance={})


def _absorbs(rgb: RgbImage, min_density: float, blur_px: float) -> npt.NDArray[np.bool_]:
    # Smoothing over 8 um closes the gaps between fibres and removes grain.
    smooth = cv2.GaussianBlur(rgb, (0, 0), blur_px).astype(np.float32)
    density = np.log10(_glass(rgb)) - np.log10(np.maximum(smooth, 1.0))
    is_padding = rgb.max(axis=2) < _BLACK_LEVEL
    # Stain absorbs some channel clearly; grey dirt on the glass absorbs all alike a little.
    absorbs: npt.NDArray[np.bool_] = (density.mean(axis=2) > min_density) & ~is_padding
    return absorbs


def _glass(rgb: RgbImage) -> npt.NDArray[np.float32]:
    """Colour of the slide's glass, per channel: the commonest bright level, at least 200."""
    low, high = _GLASS_LEVELS
    glass = []
    for channel in range(3):
        counts = np.bincount(rgb[..., channel].ravel(), minlength=256)[low:high]
        # A slide without glass has no peak there; then white is the reference.
        share = counts.sum() / max(1, rgb[..., channel].size)
        glass.append(low + int(counts.argmax()) if share > 0.02 else 245)
    return np.array(glass, dtype=np.float32)


def _without_small(mask: npt.NDArray[np.bool_], min_area_px: float) -> npt.NDArray[np.bool_]:
    """The mask without pieces smaller than an area."""
    n, labels, statistics, _ = cv2.connectedComponentsWithStats(
        np.ascontiguousarray(mask).view(np.uint8), connectivity=8
    )
    keep = statistics[:, cv2.CC_STAT_AREA] >= min_area_px
    keep[0] = False
    kept: npt.NDArray[np.bool_] = keep[labels]
    return kept if n > 1 else mask
