"""Numbers about nuclei from their pixels and polygons, all nuclei of a region at once.

What each number is called and means is in ``nucleus``. scikit-image's ``regionprops`` has the
shape moments too, one nucleus at a time; ``tests/unit/nuclei/test_measurements.py`` holds the
two equal.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hoverfast_platform.arrays import InstanceMap, RgbImage
from hoverfast_platform.config import Stain
from hoverfast_platform.geometry import Mpp
from hoverfast_platform.nuclei.pixel_sums import sum_shape_and_stains
from hoverfast_platform.nuclei.rings import lengths_and_solidity
from hoverfast_platform.stain import StainPair, density_by_byte

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
    row_of = np.full(int(instances.max(initial=0)) + 1, -1, dtype=np.int32)
    row_of[labels] = np.arange(n, dtype=np.int32)
    shape, stains = sum_shape_and_stains(instances, row_of, n, rgb, density_by_byte(stain))
    area = shape[:, 0].astype(np.float64)
    x, y, xx, yy, xy = (shape[:, 1:] / area[:, None]).T
    xx, yy, xy = xx - x * x, yy - y * y, xy - x * y
    spread = np.hypot(xx - yy, 2 * xy)
    largest, smallest = (xx + yy + spread) / 2, np.maximum((xx + yy - spread) / 2, 0)
    ratio = np.divide(smallest, largest, out=np.ones(n), where=largest > 0)
    # y points down: minus turns the angle to counter-clockwise as it is seen.
    angle = np.degrees(-np.arctan2(2 * xy, xx - yy) / 2) % 180
    columns = {"eccentricity": np.sqrt(1 - ratio), "orientation_deg": angle}
    mean, square = (stains / area[:, None]).reshape(n, 2, 2).transpose(1, 2, 0)
    for i, name in enumerate(StainPair.of(stain).names):
        deviation = np.sqrt(np.maximum(square[i] - mean[i] ** 2, 0))
        columns[f"{name}_od_mean"], columns[f"{name}_od_sd"] = mean[i], deviation
    return {name: column.astype(np.float32) for name, column in columns.items()}


def measure_polygons(
    vertices_xy: npt.NDArray[np.float64], ring_starts: npt.NDArray[np.int64], mpp: Mpp
) -> Columns:
    """Perimeter and solidity of closed rings.

    Args:
        vertices_xy: ``(V, 2)`` level-0 pixels, one ring after another.
        ring_starts: ``(N + 1,)`` first row of each ring.
        mpp: Micrometres per level-0 pixel; pixels need not be square.
    """
    lengths, solidity = lengths_and_solidity(vertices_xy, ring_starts, mpp.x, mpp.y)
    return {"perimeter_um": lengths, "solidity": solidity}
