"""Ink of markers: telling the part that lies on tissue from the part that lies on glass."""

from __future__ import annotations

import cv2
import numpy as np

from hoverfast_platform.arrays import TissuePixels
from hoverfast_platform.mask.findings import Finding, FindingPixels


def name_ink_on_glass(findings: FindingPixels, is_tissue: TissuePixels) -> FindingPixels:
    """Findings in which ink far from tissue is ``PEN_ON_GLASS``.

    What lies under ink cannot be seen. A pixel of ink is taken to cover what is nearest to it
    and is not ink: tissue, usable or lost for another reason, or glass.
    """
    is_ink = findings == Finding.PEN
    if not is_ink.any() or is_ink.all():
        return findings
    is_lost_tissue = (findings != Finding.NONE) & (findings != Finding.SPECK) & ~is_ink
    _, nearest = cv2.distanceTransformWithLabels(
        is_ink.view(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    of_label = np.zeros(int(nearest.max()) + 1, dtype=np.bool_)
    of_label[nearest[~is_ink]] = (is_tissue | is_lost_tissue)[~is_ink]
    out = findings.copy()
    out[is_ink & ~of_label[nearest]] = Finding.PEN_ON_GLASS
    return out
