"""A mask in figures: how much tissue, and how much of it is lost for which reason."""

from __future__ import annotations

import cv2
import numpy as np

from hoverfast_platform.config import Settings
from hoverfast_platform.mask.findings import Finding
from hoverfast_platform.mask.tissue_mask import TissueMask


class MaskStatistics(Settings):
    """Areas of one mask."""

    slide_area_mm2: float
    tissue_area_mm2: float
    """Usable."""
    lost_area_mm2: dict[str, float]
    """Per finding: tissue that is not usable because of it. Ink on glass is not tissue."""
    lost_fraction: dict[str, float]
    """The same as a share of all tissue, usable and lost."""
    remarked_area_mm2: dict[str, float]
    """Per finding: usable tissue on which it was found but kept, by setting."""
    glass_ink_mm2: float
    n_pieces: int
    """Connected pieces of usable tissue."""
    largest_piece_mm2: float

    @property
    def tissue_fraction(self) -> float:
        """Share of the slide's frame that is usable tissue."""
        return self.tissue_area_mm2 / self.slide_area_mm2

    @property
    def total_lost_fraction(self) -> float:
        """Share of all tissue that is not usable."""
        return sum(self.lost_fraction.values())


def mask_statistics(mask: TissueMask) -> MaskStatistics:
    """Areas of a mask in mm2, per reason; inside its regions where it has some."""
    if mask.within is not None:
        mask = mask.cut_to(mask.within)
    pixel_mm2 = mask.pixel_area_um2 * 1e-6
    findings = mask.findings if mask.findings is not None else np.zeros_like(mask.is_tissue, "u1")
    n_codes = max(Finding) + 1
    removed = np.bincount(findings[~mask.is_tissue], minlength=n_codes)
    remarked = np.bincount(findings[mask.is_tissue], minlength=n_codes)
    lost = {
        finding.label: float(removed[finding]) * pixel_mm2
        for finding in Finding
        if finding not in (Finding.NONE, Finding.PEN_ON_GLASS) and removed[finding]
    }
    usable = mask.tissue_area_mm2
    all_tissue = usable + sum(lost.values())
    _, _, pieces, _ = cv2.connectedComponentsWithStats(mask.is_tissue.view(np.uint8))
    areas = pieces[1:, cv2.CC_STAT_AREA]
    return MaskStatistics(
        slide_area_mm2=mask.is_tissue.size * pixel_mm2,
        tissue_area_mm2=usable,
        lost_area_mm2=lost,
        lost_fraction={label: area / all_tissue for label, area in lost.items()},
        remarked_area_mm2={
            finding.label: float(remarked[finding]) * pixel_mm2
            for finding in Finding
            if finding != Finding.NONE and remarked[finding]
        },
        glass_ink_mm2=float(removed[Finding.PEN_ON_GLASS]) * pixel_mm2,
        n_pieces=len(areas),
        largest_piece_mm2=float(areas.max(initial=0)) * pixel_mm2,
    )
