"""Named artefacts on the slide at low resolution: ink, blur, folds, fat; air is in ``bubbles``.

Each function is given the slide and the tissue and returns where it sees its artefact; what
happens there is decided in ``builtin``. No model is trained: each rule is a colour or a ratio
that was measured, and docs/masks.md has the figures. Starting points: HistoQC's modules
(Janowczyk et al. 2019) for what to look for, Kothari et al. 2013 for folds by density. Unlike
theirs, blur and folds are judged by ratios in which the stain's strength cancels out, so that
one threshold holds for pale and dark slides.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from hoverfast_platform.arrays import TissuePixels
from hoverfast_platform.config import ArtefactDetection, PenColour
from hoverfast_platform.mask.low_resolution import LowResolution
from hoverfast_platform.mask.shapes import closed, connected_to, grown, opened, without_small

_FOCUS_WINDOW_UM = 50.0
"""Focus is averaged over this deviation of a Gaussian; HistoQC's 400 um reaches over rims."""

_COARSEST_TEXTURE_MPP = 6.0
"""Nuclei are gone in coarser pixels, and focus cannot be judged."""

_MIN_KNOWN_INK_UM2 = 30_000.0
"""Red strokes from which the marker's own hue is learned; less may be blood."""

_PALEST_INK_DENSITY = 0.06

_N_HUES = 16
_HUE_RANGE = (0.1, 0.6)
"""Share of red in the density of red and green: about 0.2 for eosin, 0.45 for hematoxylin."""


def find_ink(low: LowResolution, detection: ArtefactDetection) -> TissuePixels:
    """Strokes of a marker, by colours that H&E does not have."""
    light = np.clip(low.rgb.astype(np.float32) / low.glass, 0, 1)
    hsv = cv2.cvtColor(light, cv2.COLOR_RGB2HSV)
    chroma = (light.max(axis=2) - light.min(axis=2)) * 255
    ink = np.zeros(low.shape, dtype=np.bool_)
    for colour in detection.pen_colours:
        found = _strokes(_has_ink_colour(colour, hsv, chroma), low, detection)
        if colour == "red":
            found |= _strokes(_has_hue_of_red_ink(low, found), low, detection)
        ink |= found
    return grown(ink, low.px(detection.pen_margin_um))


def _strokes(found: TissuePixels, low: LowResolution, detection: ArtefactDetection) -> TissuePixels:
    found = cv2.morphologyEx(found.view(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    return without_small(found.view(np.bool_), low.area_px(detection.min_pen_area_um2))


def _has_ink_colour(
    colour: PenColour, hsv: npt.NDArray[np.float32], chroma: npt.NDArray[np.float32]
) -> TissuePixels:
    """Hue in degrees, saturation and value relative to the glass; chroma in grey levels."""
    hue, saturation, value = hsv[..., 0], hsv[..., 1], hsv[..., 2]
    match colour:
        case "green":
            found = (hue > 75) & (hue < 185) & (saturation > 0.15)
        case "blue":
            found = (hue >= 185) & (hue < 250) & (saturation > 0.30) & (value < 0.85)
        case "black":
            found = (value < 0.33) & (chroma < 30)
        case "red":
            found = ((hue > 345) | (hue < 15)) & (saturation > 0.62) & (value > 0.45)
    return np.asarray(found)


def _has_hue_of_red_ink(low: LowResolution, strokes: TissuePixels) -> TissuePixels:
    """Pale and dark red ink, once strokes of the slide's red marker are known.

    Ratios of densities do not change with how thick the ink is. What is nearer to the strokes'
    ratios than to the tissue's is ink; where the two are alike nothing is added. Red ink
    absorbs less red and more blue than eosin does, but not by an amount that holds for all
    slides.
    """
    if np.count_nonzero(strokes) < low.area_px(_MIN_KNOWN_INK_UM2):
        return np.zeros_like(strokes)
    density = low.optical_density(blur_um=4)
    of_green = density[..., 1] + 1e-3
    red, blue = density[..., 0] / of_green, density[..., 2] / of_green
    absorbs = density.mean(axis=2) > _PALEST_INK_DENSITY
    tissue = absorbs & ~grown(strokes, low.px(100))
    if not tissue.any():
        return np.zeros_like(strokes)
    ink_red, ink_blue = np.median(red[strokes]), np.median(blue[strokes])
    tissue_red, tissue_blue = np.median(red[tissue]), np.median(blue[tissue])
    if ink_red > tissue_red - 0.1 or ink_blue < tissue_blue + 0.05:
        return np.zeros_like(strokes)
    found = (red < (ink_red + tissue_red) / 2) & (blue > (ink_blue + tissue_blue) / 2)
    return np.asarray(found & absorbs)


def sharpness(low: LowResolution, tissue: TissuePixels) -> npt.NDArray[np.float32]:
    """How sharp the tissue is around each pixel, whatever its contrast.

    Fine texture over coarse texture, both averaged inside the tissue: 2 to 3.4 in focus, 0.6
    after a Gaussian blur of 6 um, and the same for pale and for dark tissue.

    Returns:
        ``(H, W)``; 0 where there is no tissue near.
    """
    core = cv2.erode(tissue.view(np.uint8), np.ones((3, 3), np.uint8)).astype(np.float32)
    sigma = low.px(_FOCUS_WINDOW_UM)
    fine = cv2.GaussianBlur(low.fine_texture * core, (0, 0), sigma)
    coarse = cv2.GaussianBlur(low.coarse_texture * core, (0, 0), sigma)
    weight = cv2.GaussianBlur(core, (0, 0), sigma)
    # The small term keeps a film without any texture from a ratio of two noises.
    ratio = fine / (coarse + 1e-4 * weight + 1e-12)
    return np.where(weight > 1e-3, ratio, 0).astype(np.float32)


def find_blur(
    low: LowResolution,
    stained: TissuePixels,
    tissue: TissuePixels,
    detection: ArtefactDetection,
) -> tuple[TissuePixels, float]:
    """Tissue out of focus, and the sharpness of the sharper tissue (upper quartile).

    A place is blurred if it is below the threshold and also clearly less sharp than the sharper
    quarter of the slide. So a slide that is soft all over, as the pyramid of its file may make it,
    is not thrown away; the caller warns of its low quartile. A quartile of zero means that focus
    could not be judged.

    Args:
        low: The slide.
        stained: Tissue that absorbs light: where focus is measured.
        tissue: With holes and margin: where it is judged.
        detection: Threshold and size.
    """
    if low.texture_mpp > _COARSEST_TEXTURE_MPP:
        return np.zeros_like(tissue), 0.0
    focus = sharpness(low, stained)
    is_judged = tissue & (focus > 0)
    if not (stained & is_judged).any():
        return np.zeros_like(tissue), 0.0
    usual = float(np.percentile(focus[stained & is_judged], 75))
    threshold = min(detection.min_sharpness, 0.7 * usual)
    blurred = is_judged & (focus < threshold)
    # Rims, where glass and halo enter the window, are thin; blurred fields are not.
    blurred = opened(blurred, low.px(24))
    blurred = without_small(blurred, low.area_px(detection.min_blur_area_um2))
    return grown(blurred, low.px(8)) & tissue, usual


def find_fold_or_dark(
    low: LowResolution,
    stained: TissuePixels,
    tissue: TissuePixels,
    detection: ArtefactDetection,
) -> TissuePixels:
    """Tissue twice as dense as tissue of its hue is on this slide, or nearly black.

    A fold doubles the optical density and leaves its hue: folded stroma is as dark as a plain
    epithelium, but of stroma's hue. A fold begins at places that are dense enough and goes on to
    where its density is half as far above the usual.

    Args:
        low: The slide.
        stained: Tissue that absorbs light: from which the usual density is learned.
        tissue: With holes and margin: where folds are looked for.
        detection: Thresholds and size.
    """
    density = low.optical_density(blur_um=16)
    total = density.mean(axis=2)
    ratio = _density_for_its_hue(density, total, stained)
    full, half = detection.fold_density_ratio, (1 + detection.fold_density_ratio) / 2
    seeds = without_small(tissue & (ratio > full), low.area_px(detection.min_fold_area_um2) / 4)
    folded = connected_to(tissue & (ratio > half), seeds)
    dark = tissue & (total > detection.max_optical_density)
    found = closed(folded | dark, low.px(24)) & tissue
    return without_small(found, low.area_px(detection.min_fold_area_um2))


def _density_for_its_hue(
    density: npt.NDArray[np.float32], total: npt.NDArray[np.float32], tissue: TissuePixels
) -> npt.NDArray[np.float32]:
    """Density over the median density of tissue of the same hue on this slide."""
    low_share, high_share = _HUE_RANGE
    red_share = density[..., 0] / (density[..., 0] + density[..., 1] + 1e-3)
    position = (red_share - low_share) / (high_share - low_share) * _N_HUES
    index = np.clip(position, 0, _N_HUES - 1).astype(int)
    is_stained = tissue & (total > 0.05)
    n_needed = max(50, 0.005 * np.count_nonzero(is_stained))
    medians = np.full(_N_HUES, np.nan)
    for i in range(_N_HUES):
        values = total[is_stained & (index == i)]
        if len(values) > n_needed:
            medians[i] = np.median(values)
    known = np.flatnonzero(~np.isnan(medians))
    if len(known) == 0:
        return np.zeros_like(total)
    usual = np.interp(position - 0.5, known, medians[known])
    ratio: npt.NDArray[np.float32] = (total / usual).astype(np.float32)
    return ratio


def find_fat(
    low: LowResolution, tissue: TissuePixels, filled: TissuePixels, detection: ArtefactDetection
) -> TissuePixels:
    """Fields of empty fat cells: many holes of a cell's size close together.

    Args:
        low: The slide.
        tissue: With holes filled.
        filled: The holes that were filled.
        detection: Sizes.
    """
    cells = without_small(filled, low.area_px(300))
    fields = closed(cells, low.px(40))
    return without_small(fields, low.area_px(detection.min_fat_area_um2)) & tissue
