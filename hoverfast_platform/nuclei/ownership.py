"""Which instances of a region belong to its tile, and what is known of them from pixels alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hoverfast_platform.arrays import ForegroundProbability, InstanceMap
from hoverfast_platform.geometry import Box
from hoverfast_platform.half_precision import to_float32
from hoverfast_platform.nuclei.pixel_sums import sum_places


@dataclass(frozen=True)
class PixelNuclei:
    """Instances of one region, a row each.

    Attributes:
        labels: ``(N,)`` their numbers in the instance map, ascending.
        area_px: ``(N,)`` model pixels.
        centroid_xy_px: ``(N, 2)`` model pixels of the slide, pixel centres at .5.
        confidence: ``(N,)`` mean foreground probability.
    """

    labels: npt.NDArray[np.int64]
    area_px: npt.NDArray[np.int64]
    centroid_xy_px: npt.NDArray[np.float64]
    confidence: npt.NDArray[np.float32]

    def take(self, keep: npt.NDArray[np.bool_]) -> PixelNuclei:
        """The rows where ``keep`` is True."""
        return PixelNuclei(
            self.labels[keep], self.area_px[keep], self.centroid_xy_px[keep], self.confidence[keep]
        )


def describe_instances(
    instances: InstanceMap, foreground_probability: ForegroundProbability, region: Box
) -> PixelNuclei:
    """Area, centroid and confidence of every instance of a region.

    Centroids come from integer sums of global coordinates, so two regions that see the same
    pixels give the same bits, and the half-open rule can never give a nucleus to both.
    """
    n_labels = int(instances.max(initial=0)) + 1
    places, belief = sum_places(instances, to_float32(foreground_probability), n_labels)
    labels = np.flatnonzero(places[:, 0])
    area, sum_x, sum_y = places[labels].T
    centroid = np.stack([(sum_x + area * region.x0) / area, (sum_y + area * region.y0) / area])
    return PixelNuclei(labels, area, centroid.T + 0.5, (belief[labels] / area).astype(np.float32))


def is_owned(centroid_xy_px: npt.NDArray[np.float64], tile: Box) -> npt.NDArray[np.bool_]:
    """Which centroids (model pixels) lie in a tile: left and top edge included, others not.

    The published HoverFast includes both edges, which reports nuclei on a seam twice.
    """
    x, y = centroid_xy_px[:, 0], centroid_xy_px[:, 1]
    owned: npt.NDArray[np.bool_] = (x >= tile.x0) & (x < tile.x1) & (y >= tile.y0) & (y < tile.y1)
    return owned
