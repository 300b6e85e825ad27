"""What every backend can do: regions in, maps out.

Every backend runs the same graph: :class:`hoverfast_platform.model.network.MapsFromPixels`, then
:class:`hoverfast_platform.model.border_steepness.BorderSteepness`.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from hoverfast_platform.arrays import PredictedMaps
from hoverfast_platform.model.network import HoverFast

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
    """Calls of ``predict`` that do better at the same time than one after another."""

    def with_network(self, network: HoverFast) -> Predictor:
        """One like this for the same weights with other batch-norm statistics."""
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
