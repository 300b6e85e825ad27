"""InstanSeg beside our engines: its network at its own scale, and what it does afterwards.

Goldsborough et al., arXiv:2408.15954; ``pip install instanseg-torch seaborn``. Its published
weights are not needed: the network has random ones, in the shape that its training script makes by
default, and the seeds from which its post-processing begins lie where our model sees nuclei, so
that there are as many as there would be. The times are those of its arithmetic; what it would find
is not shown.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch

from hoverfast_platform.model.checkpoint import LoadedModel
from hoverfast_platform.model.network import MapsFromPixels

MPP = 0.5
"""Micrometres per pixel of its model for brightfield images."""
_LAYERS = (256, 128, 64, 32)
_OUTPUTS = (2, 2, 1)
"""Coordinates, sigmas and seeds: one decoder for nuclei."""
_WINDOW_PX = 128
_MULTIPLE_PX = 8

_Regions = npt.NDArray[np.uint8]


class InstanSegPeer:
    """Its network and post-processing on one core or several, in single precision.

    Args:
        model: Ours; says the scale of the regions, and where nuclei are.

    Raises:
        ImportError: If it is not installed.
    """

    def __init__(self, model: LoadedModel) -> None:
        unet = importlib.import_module("instanseg.utils.models.InstanSeg_UNet").InstanSeg_UNet
        method = importlib.import_module("instanseg.utils.loss.instanseg_loss").InstanSeg
        torch.manual_seed(0)
        self._network = unet(3, out_channels=list(_OUTPUTS), layers=list(_LAYERS), norm="BATCH")
        self._method = method(n_sigma=_OUTPUTS[1], device="cpu", window_size=_WINDOW_PX)
        self._network = self._method.initialize_pixel_classifier(self._network, MLP_width=5).eval()
        self._ours = MapsFromPixels(model.network).eval()
        self._reduction = MPP / model.card.mpp
        self._seeds: torch.Tensor | None = None

    def predict(self, regions: _Regions) -> torch.Tensor:
        """``(N, H, W, 3)`` at our scale to its maps ``(5, h, w)`` of the first, at its own."""
        height, width = (
            round(side / self._reduction) // _MULTIPLE_PX * _MULTIPLE_PX
            for side in regions.shape[1:3]
        )
        small = cv2.resize(regions[0], (width, height), interpolation=cv2.INTER_AREA)
        pixels = torch.from_numpy(small).permute(2, 0, 1)[None].float() / 255.0
        with torch.inference_mode():
            maps: torch.Tensor = self._network(pixels)[0]
        return maps

    def segment(self, regions: _Regions) -> int:
        """Predict and post-process; how many objects came out."""
        maps = self.predict(regions).clone()
        maps[-1] = self._seed_map(regions, (maps.shape[1], maps.shape[2]))
        with torch.inference_mode():
            labels: Any = self._method.postprocessing(
                maps, window_size=_WINDOW_PX, max_seeds=1_000_000
            )
        return int(labels.max())

    def _seed_map(self, regions: _Regions, shape: tuple[int, int]) -> torch.Tensor:
        """One peak in every nucleus, in the units of its seed channel; computed once."""
        if self._seeds is None:
            with torch.inference_mode():
                foreground = self._ours(torch.from_numpy(regions[:1]))[0, 0].float().numpy()
            is_nucleus = (foreground > 0.5).astype(np.uint8)
            depth = cv2.GaussianBlur(cv2.distanceTransform(is_nucleus, cv2.DIST_L2, 5), (0, 0), 1.5)
            depth = cv2.resize(depth, shape[::-1], interpolation=cv2.INTER_AREA)
            self._seeds = torch.from_numpy(np.where(depth > 0.5, depth, -7.5).astype(np.float32))
        return self._seeds


def instanseg_engines(
    not_here: Callable[[str], Exception],
) -> dict[str, Callable[[LoadedModel, int], Callable[[_Regions], Any]]]:
    """Its network alone, and with its post-processing, as the benchmark times engines.

    Args:
        not_here: Makes the error that says why an engine cannot run.
    """

    def made(model: LoadedModel) -> InstanSegPeer:
        try:
            return InstanSegPeer(model)
        except ImportError as error:
            raise not_here(f"pip install instanseg-torch seaborn ({error})") from error

    return {
        NETWORK: lambda model, _n_threads: made(model).predict,
        WHOLE: lambda model, _n_threads: made(model).segment,
    }


NETWORK = f"InstanSeg's network, {MPP} um per pixel, torch fp32"
WHOLE = "InstanSeg's network and post-processing, torch fp32"
