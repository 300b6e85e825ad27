"""The built-in engine: tissue by what it absorbs, minus the artefacts found on it.

Tissue is what absorbs light compared with this slide's own glass; the artefacts are in
``artefacts``, their thresholds in the settings.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hoverfast_platform.arrays import TissuePixels
from hoverfast_platform.config import FindingAction, TissueDetection
from hoverfast_platform.mask.artefacts import find_blur, find_fat, find_fold_or_dark, find_ink
from hoverfast_platform.mask.bubbles import find_bubbles, find_film
from hoverfast_platform.mask.findings import Finding, FindingPixels
from hoverfast_platform.mask.ink import name_ink_on_glass
from hoverfast_platform.mask.low_resolution import LowResolution, read_low_resolution
from hoverfast_platform.mask.shapes import grown, pieces_with_median_below, without_small
from hoverfast_platform.mask.tissue_mask import TissueMask
from hoverfast_platform.slide.reader import GREY_NOTE, SlideInfo, SlideReader

_BLACK_LEVEL = 8
"""All channels below this: scanner padding, not tissue (necrosis and ink are lighter)."""


def find_tissue(reader: SlideReader, detection: TissueDetection = TissueDetection()) -> TissueMask:
    """Find usable tissue on the whole slide, and what is wrong with the rest.

    Optical density above the slide's own glass, averaged over the three channels, is
    thresholded at a fixed value, so that a blank slide has an empty mask and a slide full of
    tissue a full one; a threshold found per slide (Otsu) splits both in two.

    Args:
        reader: The slide; read once, in strips.
        detection: Resolution, thresholds and sizes, all physical.

    Returns:
        The mask over the slide's frame; all False where there is no usable tissue.
    """
    low = read_low_resolution(reader, detection.mpp)
    tissue = _detect(low, detection)
    artefacts = detection.artefacts
    blurred, usual_sharpness = find_blur(low, tissue.stained, tissue.whole, artefacts)
    # The last one found wins a pixel.
    found: tuple[tuple[Finding, FindingAction, TissuePixels], ...] = (
        (Finding.SPECK, "remove", tissue.specks),
        (Finding.FAT, artefacts.fat, find_fat(low, tissue.whole, tissue.filled, artefacts)),
        (
            Finding.BUBBLE,
            artefacts.bubble,
            find_film(low, tissue.whole, artefacts) | (tissue.bubbles & tissue.whole),
        ),
        (Finding.BLUR, artefacts.blur, blurred),
        (
            Finding.FOLD_DARK,
            artefacts.fold_dark,
            find_fold_or_dark(low, tissue.stained, tissue.whole, artefacts),
        ),
        (Finding.PEN, artefacts.pen, tissue.ink),
    )
    is_usable = tissue.whole.copy()
    findings: FindingPixels = np.zeros(low.shape, dtype=np.uint8)
    for finding, action, pixels in found:
        if action != "off":
            findings[pixels] = finding
        if action == "remove":
            is_usable &= ~pixels
    findings = name_ink_on_glass(findings, tissue.whole & ~tissue.ink)
    is_usable &= findings != Finding.PEN_ON_GLASS
    return TissueMask.of_slide(
        reader.info,
        is_usable,
        "builtin",
        provenance={
            "settings": detection.model_dump(mode="json"),
            "glass": low.glass.tolist(),
            "sharpness_upper_quartile": round(usual_sharpness, 3),
        },
        findings=findings,
        warnings=_grey(low, tissue.whole, reader.info)
        + _warnings(tissue.whole, usual_sharpness, detection)
        + _nothing_left(low, tissue, is_usable),
    )


@dataclass(frozen=True)
class _Tissue:
    """``(H, W)`` each.

    Attributes:
        whole: Tissue with artefacts still in it, holes filled, a margin around it.
        stained: The part of it that absorbs light.
        filled: The holes.
        specks: What absorbs, beside it: pieces too small, and grey ones.
        ink: Ink of markers, anywhere.
        bubbles: Discs of round bubbles, anywhere.
    """

    whole: TissuePixels
    stained: TissuePixels
    filled: TissuePixels
    specks: TissuePixels
    ink: TissuePixels
    bubbles: TissuePixels


def _detect(low: LowResolution, detection: TissueDetection) -> _Tissue:
    # Smoothing over 8 um closes the gaps between fibres and removes grain.
    density = low.optical_density(blur_um=8).mean(axis=2)
    is_padding = low.rgb.max(axis=2) < _BLACK_LEVEL
    absorbs = (density > detection.min_optical_density) & ~is_padding
    if detection.artefacts.pen == "off":
        ink = np.zeros_like(absorbs)
    else:
        ink = find_ink(low, detection.artefacts)
    bubbles = find_bubbles(low, ink, detection.artefacts)
    # Ink is neither tissue nor a bridge between specks; what it covers is decided later.
    stained = absorbs & ~ink & ~bubbles.rims
    stained = without_small(stained, low.area_px(detection.min_tissue_area_um2))
    stained &= ~_grey_pieces(low, stained, detection.min_colourfulness)
    without_holes = ~without_small(~stained, low.area_px(detection.max_hole_area_um2))
    whole = grown(without_holes, low.px(detection.dilation_um))
    return _Tissue(
        whole=whole | ink if detection.artefacts.pen == "remark" else whole,
        stained=stained,
        filled=without_holes & ~stained & ~ink,
        specks=absorbs & ~ink & ~bubbles.rims & ~whole,
        ink=ink,
        bubbles=bubbles.inside,
    )


def _grey_pieces(
    low: LowResolution, stained: TissuePixels, min_colourfulness: float
) -> TissuePixels:
    """Dust, hairs, pencil: pieces without colour beside tissue that has some.

    Where most of what absorbs is grey, as in silver stains, colour says nothing.
    """
    colourfulness = low.colourfulness(blur_um=8)
    grey = pieces_with_median_below(stained, colourfulness, min_colourfulness)
    if 2 * np.count_nonzero(grey) > np.count_nonzero(stained):
        return np.zeros_like(stained)
    return grey


def _grey(low: LowResolution, tissue: TissuePixels, info: SlideInfo) -> tuple[str, ...]:
    """What readers do not say of a file of one channel, or of three equal ones."""
    pixels = low.rgb[tissue].astype(np.int16)
    is_grey = bool(len(pixels)) and int((pixels.max(axis=1) - pixels.min(axis=1)).max()) <= 1
    return (GREY_NOTE,) if is_grey and GREY_NOTE not in info.notes else ()


def _warnings(
    tissue: TissuePixels, usual_sharpness: float, detection: TissueDetection
) -> tuple[str, ...]:
    threshold = detection.artefacts.min_sharpness
    if tissue.any() and 0 < usual_sharpness < threshold:
        return (
            f"The whole slide is soft (sharpness {usual_sharpness:.2f}, below {threshold:g}): it "
            "is out of focus, or its file holds only enlarged pixels. No part was taken away for "
            "that.",
        )
    return ()


def _nothing_left(low: LowResolution, tissue: _Tissue, is_usable: TissuePixels) -> tuple[str, ...]:
    """Why nothing is looked at, if nothing is: no nuclei would be a finding otherwise."""
    if is_usable.any():
        return ()
    n_black = np.count_nonzero(low.rgb.max(axis=2) < _BLACK_LEVEL)
    n_ink = np.count_nonzero(tissue.ink)
    if 2 * n_black > is_usable.size:
        why = "most of the slide is black, as where a scan or its conversion failed"
    elif n_ink and not tissue.whole.any():
        why = f"ink of a marker covers {n_ink / is_usable.size:.0%}, and nothing else is stained"
    elif tissue.whole.any():
        why = "artefacts cover all tissue that was found"
    else:
        why = "there is only glass"
    return (f"Nothing was looked at, so there are no nuclei: {why}.",)
