"""The seam audit: were nuclei doubled or lost where tiles meet? Stored with every result."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely

from hoverfast_platform.nuclei.nucleus import Nuclei
from hoverfast_platform.tiling import TilePlan

BAND_PX = 32
"""Half width of the strip along a seam, model pixels: 8 um at 0.25 mpp."""

DUPLICATE_OVERLAP = 0.3
"""From this intersection over union on, two polygons count as one nucleus seen twice."""


@dataclass(frozen=True)
class SeamAudit:
    """What the audit found.

    Attributes:
        n_near_seams: Nuclei within ``BAND_PX`` of a seam.
        n_duplicates: Pairs across a seam that overlap as one nucleus seen twice would.
        density_ratio: Nuclei per area near seams over elsewhere; about 1 when none is lost.
            NaN where there is no seam or nothing to compare with.
    """

    n_near_seams: int
    n_duplicates: int
    density_ratio: float


def is_near_seam(centroid_xy: npt.NDArray[np.float64], plan: TilePlan) -> npt.NDArray[np.bool_]:
    """Which centroids (level-0 pixels) lie in the strips along the plan's inner seams."""
    lattice = plan.lattice
    near = np.zeros(len(centroid_xy), dtype=np.bool_)
    for axis, scale, step, length in (
        (0, lattice.scale_x, plan.tile_width_px, lattice.width_px),
        (1, lattice.scale_y, plan.tile_height_px, lattice.height_px),
    ):
        position = centroid_xy[:, axis] / scale
        seam = np.round(position / step)
        is_inner = (seam > 0) & (seam * step < length)
        near |= is_inner & (np.abs(position - seam * step) < BAND_PX)
    return near


def audit_seams(near: Nuclei, n_elsewhere: int, plan: TilePlan) -> SeamAudit:
    """Judge the nuclei near seams against the others.

    Args:
        near: Nuclei for which :func:`is_near_seam` holds.
        n_elsewhere: How many nuclei the slide has besides.
        plan: Its tiles; all of their area counts, blank parts included, so the ratio is
            rough on slides of little tissue.
    """
    tile_area = float(plan.tile_width_px * plan.tile_height_px)
    band_area = _band_share(plan) * tile_area
    ratio = float("nan")
    if band_area > 0 and n_elsewhere > 0:
        ratio = (len(near) / band_area) / (n_elsewhere / (tile_area - band_area))
    return SeamAudit(len(near), _count_duplicates(near, plan), ratio)


def _band_share(plan: TilePlan) -> float:
    """Mean share of a planned tile's area that lies in strips along inner seams."""
    if not plan.tiles:
        return 0.0
    shares = []
    for tile in plan.tiles:
        sides_x = (tile.box.x0 > 0) + (tile.box.x1 < plan.lattice.width_px)
        sides_y = (tile.box.y0 > 0) + (tile.box.y1 < plan.lattice.height_px)
        free_x = max(0.0, 1 - sides_x * BAND_PX / tile.box.width)
        free_y = max(0.0, 1 - sides_y * BAND_PX / tile.box.height)
        shares.append(1 - free_x * free_y)
    return float(np.mean(shares))


def _count_duplicates(near: Nuclei, plan: TilePlan) -> int:
    if len(near) < 2:
        return 0
    from scipy.spatial import cKDTree  # half a second to import, and one tile has no seam

    lattice = plan.lattice
    model_xy = near.centroid_xy / (lattice.scale_x, lattice.scale_y)
    pairs = cKDTree(model_xy).query_pairs(BAND_PX, output_type="ndarray")
    tile = np.floor(model_xy / (plan.tile_width_px, plan.tile_height_px)).astype(np.int64)
    pairs = pairs[(tile[pairs[:, 0]] != tile[pairs[:, 1]]).any(axis=1)]
    polygons = near.polygons()
    a, b = polygons[pairs[:, 0]], polygons[pairs[:, 1]]
    shared = shapely.area(shapely.intersection(a, b))
    union = shapely.area(a) + shapely.area(b) - shared
    return int(np.count_nonzero(shared > DUPLICATE_OVERLAP * union))
