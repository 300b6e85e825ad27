"""Prediction with a network as it lies in memory: in training, and where its own maps are wanted.

Slower than the other backends and without their rounding: single precision, no layers merged, and
the maps as the network gives them, before anything is made of them for the workers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from hoverfast_platform.arrays import NetworkMaps, RgbImage
from hoverfast_platform.inference.backends.predictor import Regions
from hoverfast_platform.model.network import HoverFast, MapsFromPixels
from hoverfast_platform.model.slide_statistics import adapted_to


@dataclass(frozen=True)
class PlainNetwork:
    """A network on the device where it lies.

    Attributes:
        network: In evaluation mode; not changed.
    """

    network: HoverFast

    def adapted_to(self, samples: Sequence[RgbImage], share: float) -> PlainNetwork:
        """One like this with the samples' statistics mixed in, on the same device."""
        device = next(self.network.parameters()).device
        return PlainNetwork(adapted_to(self.network, samples, share, str(device)).to(device))

    @torch.inference_mode()
    def predict(self, regions: Regions) -> NetworkMaps:
        """``(N, H, W, 3)`` of any size to ``(N, 3, H, W)``; borders are repeated to fit."""
        height, width = regions.shape[1:3]
        multiple = self.network.architecture.multiple_px
        pad = (0, -width % multiple, 0, -height % multiple)
        device = next(self.network.parameters()).device
        pixels = torch.from_numpy(regions).to(device).permute(0, 3, 1, 2).float()
        pixels = F.pad(pixels, pad, mode="replicate").permute(0, 2, 3, 1)
        maps = MapsFromPixels(self.network)(pixels)[:, :, :height, :width]
        found: NetworkMaps = maps.float().cpu().numpy()
        return found
