"""What every backend can do: regions in, maps out.

Every backend runs the same graph: :class:`hoverfast_platform.model.network.MapsFromPixels`, then
:class:`hoverfast_platform.model.border_steepness.BorderSteepness`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from hoverfast_platform.arrays import PredictedMaps, RgbImage

Regions = npt.NDArray[np.uint8]
"""``(N, H, W, 3)`` RGB."""


class Predictor(Protocol):
    """Predicts maps for batches of regions."""

    backend: str
    device: str
    precision: str
    arithmetic: str
    """All that decides the maps besides the weights; part of a result's identity."""
    n_concurrent: int
    """How many calls of ``predict`` should go on at the same time to keep the device busy."""

    def adapted_to(self, samples: Sequence[RgbImage], share: float) -> Predictor:
        """One like this with statistics of a slide mixed into its network's batch norms.

        Args:
            samples: Squares of the slide's tissue as the network is to see them.
            share: Share of their statistics in the mixture, 0..1.
        """
        ...

    def predict(self, regions: Regions) -> PredictedMaps:
        """``(N, H, W, 3)`` to ``(N, 2, H, W)``: probability, steepness of borders.

        Raises:
            ComputeError: If the device fails or a single region does not fit its memory.
        """
        ...

    def batch_size(self, region_shape: tuple[int, int]) -> int:
        """Regions to predict together."""
        ...
