"""Foreground and HV maps as the network gives them, for post-processing that starts from those.

Ours starts from the steepness of borders, which predictors compute on their device; where it is
compared with the published one, that step counts as ours.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from hoverfast_platform.arrays import RgbImage
from hoverfast_platform.hv.decode import border_steepness
from hoverfast_platform.model.network import HoverFast, MapsFromPixels

NetworkMaps = npt.NDArray[np.float32]
"""``(3, H, W)``: foreground probability, horizontal map, vertical map."""


def network_maps(network: HoverFast, rgb: RgbImage) -> NetworkMaps:
    """Predict the maps of one image, whose sides are multiples of 4, in single precision."""
    with torch.inference_mode():
        maps: NetworkMaps = MapsFromPixels(network).eval()(torch.from_numpy(rgb[None]))[0].numpy()
    return maps


def decodable(maps: NetworkMaps) -> npt.NDArray[np.float32]:
    """What predictors would hand to the workers, ``(2, H, W)``, before they round it."""
    return np.stack((maps[0], border_steepness(maps[1], maps[2])))
