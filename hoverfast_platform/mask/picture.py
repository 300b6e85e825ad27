"""A mask to look at: the thumbnail with findings in colour, and a legend with their shares."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from hoverfast_platform.arrays import RgbImage
from hoverfast_platform.mask.findings import COLOURS, Finding
from hoverfast_platform.mask.statistics import MaskStatistics, mask_statistics
from hoverfast_platform.mask.tissue_mask import TissueMask

_EDGE_COLOUR = (20, 60, 220)
_ROW_PX = 18
_PLAIN_WIDTH_PX = 700
"""Width of a picture whose legend has rows of that height; wider ones are seen shrunk."""

_FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw_quality(rgb: RgbImage, mask: TissueMask) -> RgbImage:
    """The slide's thumbnail with what the mask says, and a legend below.

    Background is dimmed, the edge of usable tissue blue. What was taken away is filled with the
    finding's colour, what was only remarked on is tinted with it.

    Args:
        rgb: ``(H, W, 3)`` thumbnail of the mask's frame.
        mask: Tissue mask of the same slide.

    Returns:
        ``(H + legend, max(W, 300), 3)``.
    """
    height, width = rgb.shape[:2]
    is_tissue = _nearest(mask.is_tissue.view(np.uint8), width, height) > 0
    dimmed = (rgb.astype(np.uint16) * 2 // 5 + 140).clip(max=255).astype(np.uint8)
    out: RgbImage = np.where(is_tissue[..., None], rgb, dimmed)
    if mask.findings is not None:
        findings = _nearest(mask.findings, width, height)
        for finding, colour in COLOURS.items():
            found = findings == finding
            for part, weight in ((found & ~is_tissue, 0.7), (found & is_tissue, 0.35)):
                out[part] = (rgb[part] * (1 - weight) + np.array(colour) * weight).astype(np.uint8)
    contours, _ = cv2.findContours(
        is_tissue.view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE
    )
    cv2.drawContours(out, contours, -1, _EDGE_COLOUR, max(1, width // 600))
    legend = _legend(mask_statistics(mask), max(width, 300))
    pad = legend.shape[1] - width
    out = np.pad(out, ((0, 0), (0, pad), (0, 0)), constant_values=255)
    return np.concatenate([out, legend])


def _nearest(pixels: npt.NDArray[np.uint8], width: int, height: int) -> npt.NDArray[np.uint8]:
    resized: npt.NDArray[np.uint8] = cv2.resize(
        pixels, (width, height), interpolation=cv2.INTER_NEAREST
    )
    return resized


def _legend(statistics: MaskStatistics, width: int) -> RgbImage:
    rows: list[tuple[tuple[int, int, int], str]] = [
        (_EDGE_COLOUR, f"usable tissue {statistics.tissue_area_mm2:.3g} mm2")
    ]
    for finding in Finding:
        colour = COLOURS.get(finding)
        lost = statistics.lost_fraction.get(finding.label)
        if colour is not None and lost is not None:
            rows.append((colour, f"{finding.label}: {lost:.1%} of the tissue lost"))
        remarked = statistics.remarked_area_mm2.get(finding.label)
        if colour is not None and remarked is not None:
            rows.append((colour, f"{finding.label}: {remarked:.3g} mm2 remarked on, kept"))
    if statistics.glass_ink_mm2:
        text = f"pen on glass {statistics.glass_ink_mm2:.3g} mm2"
        rows.append((COLOURS[Finding.PEN_ON_GLASS], text))
    zoom = max(1.0, width / _PLAIN_WIDTH_PX)

    def px(length: float) -> int:
        return round(length * zoom)

    legend = np.full((px(_ROW_PX * len(rows) + 8), width, 3), 255, dtype=np.uint8)
    for i, (colour, text) in enumerate(rows):
        top = 4 + i * _ROW_PX
        cv2.rectangle(legend, (px(8), px(top + 3)), (px(20), px(top + 14)), colour, -1)
        place, thickness = (px(28), px(top + 13)), round(zoom)
        cv2.putText(legend, text, place, _FONT, 0.42 * zoom, (0, 0, 0), thickness, cv2.LINE_AA)
    return legend
