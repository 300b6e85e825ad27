"""How near a nucleus's neighbours are, how many, and how dense it is around it.

Places are centroids in micrometres, so that pixels need not be square. SciPy does the searching: a
k-d tree and Qhull's Delaunay triangulation, both in machine code and both in memory that grows
with the number of nuclei only.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import Field
from scipy.spatial import Delaunay, QhullError, cKDTree

from hoverfast_platform.arrays import PointsXY
from hoverfast_platform.config import Settings
from hoverfast_platform.geometry import Mpp
from hoverfast_platform.mask.tissue_mask import TissueMask

Columns = dict[str, npt.NDArray[np.float32]]

_N_THREADS = 2
_MIN_TISSUE_SHARE = 0.05
"""In a circle with less tissue the density is not told."""


class NeighbourhoodSettings(Settings):
    """What counts as a neighbour."""

    n_nearest: int = Field(default=5, ge=1, le=50)
    """How many nearest nuclei the mean distance is taken over."""

    radius_um: float = Field(default=50, gt=0, le=500)
    """Radius of the circle in which nuclei are counted."""

    max_edge_um: float = Field(default=50, gt=0, le=1000)
    """Longest edge of the Delaunay triangulation that makes two nuclei neighbours: longer ones
    bridge gaps in the tissue."""


NEIGHBOURHOOD_COLUMNS = {
    "nearest_um": "Distance to the nearest nucleus, between centroids.",
    "nearest_mean_um": "Mean distance to the nearest nuclei (5, `n_nearest`).",
    "n_within_radius": "Other nuclei within the radius (50 um, `radius_um`).",
    "local_density_per_mm2": "Nuclei within the radius, itself included, per mm2 of tissue there; "
    "without a mask per mm2 of the circle.",
    "delaunay_degree": "Neighbours in the Delaunay triangulation by edges up to 50 um "
    "(`max_edge_um`).",
    "delaunay_mean_um": "Mean length of those edges.",
}
"""What is measured of each nucleus's surroundings, and what it is."""


def measure_neighbourhood(
    centroid_xy: PointsXY,
    mpp: Mpp,
    tissue: TissueMask | None = None,
    settings: NeighbourhoodSettings = NeighbourhoodSettings(),
) -> Columns:
    """The columns of :data:`NEIGHBOURHOOD_COLUMNS`, ``(N,)`` each.

    Args:
        centroid_xy: ``(N, 2)`` level-0 pixels.
        mpp: Micrometres per level-0 pixel.
        tissue: Where nuclei were looked for: densities are per tissue, not per glass.
        settings: What counts as a neighbour.

    Returns:
        NaN where there is no other nucleus, no tissue or no triangle.
    """
    n = len(centroid_xy)
    if n == 0:
        return {name: np.zeros(0, np.float32) for name in NEIGHBOURHOOD_COLUMNS}
    places_um = centroid_xy * (mpp.x, mpp.y)
    tree = cKDTree(places_um)
    # The nearest of all is the nucleus itself.
    distances, _ = tree.query(places_um, k=settings.n_nearest + 1, workers=_N_THREADS)
    others = np.where(np.isfinite(distances[:, 1:]), distances[:, 1:], np.nan)
    has_other = np.isfinite(others[:, 0])
    mean = np.full(n, np.nan)
    mean[has_other] = np.nanmean(others[has_other], axis=1)
    within = tree.query_ball_point(
        places_um, settings.radius_um, return_length=True, workers=_N_THREADS
    )
    circle_mm2 = np.pi * settings.radius_um**2 * 1e-6
    share = np.ones(n) if tissue is None else _tissue_share(centroid_xy, tissue, settings)
    area = np.where(share >= _MIN_TISSUE_SHARE, share, np.nan) * circle_mm2
    degree, edge_um = _delaunay(places_um, settings.max_edge_um)
    found = [others[:, 0], mean, within - 1, within / area, degree, edge_um]
    return {
        name: column.astype(np.float32)
        for name, column in zip(NEIGHBOURHOOD_COLUMNS, found, strict=True)
    }


def _tissue_share(
    centroid_xy: PointsXY, tissue: TissueMask, settings: NeighbourhoodSettings
) -> npt.NDArray[np.float64]:
    """How much of the circle around each nucleus is tissue, as fine as the mask; 0..1."""
    radius_x, radius_y = settings.radius_um / tissue.mpp.x, settings.radius_um / tissue.mpp.y
    y, x = np.mgrid[
        -int(radius_y) - 1 : int(radius_y) + 2, -int(radius_x) - 1 : int(radius_x) + 2
    ].astype(np.float64)
    kernel = ((x / radius_x) ** 2 + (y / radius_y) ** 2 <= 1).astype(np.float32)
    pixels = np.asarray(tissue.is_tissue, np.float32)
    share = cv2.filter2D(pixels, cv2.CV_32F, kernel / kernel.sum(), borderType=cv2.BORDER_CONSTANT)
    height, width = pixels.shape
    column = np.clip(centroid_xy[:, 0] / tissue.scale_x, 0, width - 1).astype(np.int64)
    row = np.clip(centroid_xy[:, 1] / tissue.scale_y, 0, height - 1).astype(np.int64)
    return np.asarray(share[row, column], np.float64)


def _delaunay(
    places_um: npt.NDArray[np.float64], max_edge_um: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Neighbours by edges up to a length, and those edges' mean; NaN where nothing triangulates."""
    n = len(places_um)
    unknown = np.full(n, np.nan)
    if n < 3:
        return unknown, unknown
    try:
        triangles = Delaunay(places_um - places_um.mean(axis=0)).simplices
    except QhullError:  # all on one line
        return unknown, unknown
    edges = _edges(triangles)
    lengths = np.linalg.norm(places_um[edges[:, 0]] - places_um[edges[:, 1]], axis=1)
    is_short = lengths <= max_edge_um
    edges, lengths = edges[is_short].ravel(), np.repeat(lengths[is_short], 2)
    degree = np.bincount(edges, minlength=n).astype(np.float64)
    total = np.bincount(edges, weights=lengths, minlength=n)
    return degree, np.divide(total, degree, out=unknown, where=degree > 0)


def _edges(triangles: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """Each side of the triangles once."""
    pairs: Sequence[tuple[int, int]] = ((0, 1), (1, 2), (2, 0))
    sides = np.concatenate([triangles[:, list(pair)] for pair in pairs]).astype(np.int64)
    sides.sort(axis=1)
    keys = np.unique(sides[:, 0] << 32 | sides[:, 1])
    return np.stack([keys >> 32, keys & 0xFFFFFFFF], axis=1)
