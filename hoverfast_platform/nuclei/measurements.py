"""Numbers about nuclei from their pixels and polygons, all nuclei of a region at once.

What each number is called and means is in ``nucleus``. scikit-image's ``regionprops`` has the
shape moments too, one nucleus at a time; ``tests/unit/nuclei/test_measurements.py`` holds the
two equal.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import shapely

from hoverfast_platform.arrays import InstanceMap, RgbImage
from hoverfast_platform.config import Stain
from hoverfast_platform.geometry import Mpp
from hoverfast_platform.nuclei.stains import StainPair, stain_optical_density

Columns = dict[str, npt.NDArray[np.float32]]


def measure_pixels(
    instances: InstanceMap, labels: npt.NDArray[np.int64], rgb: RgbImage, stain: Stain
) -> Columns:
    """Eccentricity, orientation, and mean and standard deviation of both stains.

    Args:
        instances: ``(H, W)`` instance map of the region, square pixels.
        labels: ``(N,)`` labels to measure, each present in ``instances``.
        rgb: ``(H, W, 3)`` the region's pixels.
        stain: What the slide is stained with.

    Returns:
        Column name to ``(N,)`` values, in the order of ``labels``.
    """
    n = len(labels)
    row_of = np.zeros(int(instances.max(initial=0)) + 1, dtype=np.int32)
    row_of[labels] = np.arange(1, n + 1, dtype=np.int32)
    rows = row_of[instances].ravel()
    at = np.flatnonzero(rows)
    row = rows[at] - 1
    area = np.bincount(row, minlength=n).astype(np.float64)

    def mean(values: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        return np.bincount(row, weights=values, minlength=n) / area

    y, x = np.divmod(at, instances.shape[1])
    dx, dy = x - mean(x)[row], y - mean(y)[row]
    xx, yy, xy = mean(dx * dx), mean(dy * dy), mean(dx * dy)
    spread = np.hypot(xx - yy, 2 * xy)
    largest, smallest = (xx + yy + spread) / 2, np.maximum((xx + yy - spread) / 2, 0)
    ratio = np.divide(smallest, largest, out=np.ones(n), where=largest > 0)
    # y points down: minus turns the angle to counter-clockwise as it is seen.
    angle = np.degrees(-np.arctan2(2 * xy, xx - yy) / 2) % 180
    columns = {"eccentricity": np.sqrt(1 - ratio), "orientation_deg": angle}
    density = stain_optical_density(rgb.reshape(-1, 3)[at], stain)
    for i, name in enumerate(StainPair.of(stain).names):
        average = mean(density[:, i])
        variance = mean(np.square(density[:, i] - average[row]))
        columns[f"{name}_od_mean"], columns[f"{name}_od_sd"] = average, np.sqrt(variance)
    return {name: column.astype(np.float32) for name, column in columns.items()}


def measure_polygons(
    vertices_xy: npt.NDArray[np.float64], ring_starts: npt.NDArray[np.int64], mpp: Mpp
) -> Columns:
    """Perimeter and solidity of closed rings.

    Args:
        vertices_xy: ``(V, 2)`` level-0 pixels, one ring after another.
        ring_starts: ``(N + 1,)`` first row of each ring.
        mpp: Of level-0 pixels; they need not be square.
    """
    n = len(ring_starts) - 1
    if n == 0:
        return {name: np.zeros(0, np.float32) for name in ("perimeter_um", "solidity")}
    steps = np.diff(vertices_xy * (mpp.x, mpp.y), axis=0, append=0.0)
    steps[ring_starts[1:] - 1] = 0  # from a ring's end to the next one's start
    perimeter = np.add.reduceat(np.hypot(steps[:, 0], steps[:, 1]), ring_starts[:-1])
    index = np.repeat(np.arange(n), np.diff(ring_starts))
    polygons = shapely.polygons(shapely.linearrings(vertices_xy, indices=index))
    solidity = shapely.area(polygons) / shapely.area(shapely.convex_hull(polygons))
    return {
        "perimeter_um": perimeter.astype(np.float32),
        "solidity": np.minimum(solidity, 1).astype(np.float32),
    }
