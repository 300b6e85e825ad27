"""Whether the outlines a teacher drew can be those of nuclei.

Out of its depth - on blood, keratin, crowded glands - a teacher merges nuclei or outlines what is
none, and a student taught so learns to. Merged nuclei are concave or too large; that can be
seen without knowing the truth.
"""

from __future__ import annotations

import numpy as np
from skimage.measure import regionprops

from hoverfast_platform.arrays import InstanceMap

MIN_SOLIDITY = 0.88
"""Area over that of the convex hull. Most of what is below is two nuclei."""

MAX_NUCLEUS_AREA_UM2 = 112.0
"""The area of a disc 12 um across; larger nuclei are rare outside anaplastic tumours."""

_SMALLEST_JUDGED_UM2 = 9.4
"""Pixels make the outlines of smaller ones ragged."""


def implausible_share(instance_map: InstanceMap, mpp: float) -> float:
    """Share of the nuclear area in outlines that a single nucleus seldom has.

    People's outlines of TNBC have more than 0.18 in one tile of ten, those of our own students in
    tiles of many organs in one of three (docs/lab-notes/models.md).

    Args:
        instance_map: ``(H, W)``.
        mpp: Micrometres per pixel.

    Returns:
        0..1; 0 without nuclei of 9.4 um2 or more, which is the smallest that is judged.
    """
    pixel_um2 = mpp**2
    regions = regionprops(instance_map)  # type: ignore[no-untyped-call]
    judged = [r for r in regions if r.area * pixel_um2 >= _SMALLEST_JUDGED_UM2]
    if not judged:
        return 0.0
    areas_um2 = np.array([region.area * pixel_um2 for region in judged])
    solidities = np.array([region.solidity for region in judged])
    implausible = (solidities < MIN_SOLIDITY) | (areas_um2 > MAX_NUCLEUS_AREA_UM2)
    return float(areas_um2[implausible].sum() / areas_um2.sum())
