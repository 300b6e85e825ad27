"""Turn an instance map into the HV maps a network learns: the inverse of ``decode``.

Arrays in, arrays out; no torch. Images and labels must already be at the model's mpp.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hoverfast_platform.arrays import HvMaps, InstanceMap


def encode_hv_maps(instance_map: InstanceMap) -> HvMaps:
    """Horizontal and vertical distance of every nuclear pixel from its nucleus's centre.

    The centre is the centre of mass, rounded to a pixel. Each half is normalised by itself:
    the leftmost pixel of a nucleus is -1, its centre 0, its rightmost pixel 1, also where the
    centre is not in the middle.

    Args:
        instance_map: ``(H, W)``, 0 background, any positive numbers with or without gaps.

    Returns:
        ``(2, H, W)`` float32 in [-1, 1], horizontal first, 0 in the background.

    References:
        Graham et al., HoVer-Net, Medical Image Analysis 58 (2019) 101563, section 3.1, and the
        released ``gen_instance_hv_map``; here all nuclei are computed at once.
    """
    hv_maps = np.zeros((2, *instance_map.shape), dtype=np.float32)
    y, x = np.nonzero(instance_map)
    if len(y) == 0:
        return hv_maps
    _, nucleus = np.unique(instance_map[y, x], return_inverse=True)
    n_pixels = np.bincount(nucleus)
    for plane, position in enumerate((x.astype(np.float64), y.astype(np.float64))):
        centre = np.floor(np.bincount(nucleus, weights=position) / n_pixels + 0.5)
        hv_maps[plane, y, x] = _normalise_halves(position - centre[nucleus], nucleus, len(n_pixels))
    return hv_maps


def _normalise_halves(
    distance: npt.NDArray[np.float64], nucleus: npt.NDArray[np.integer], n_nuclei: int
) -> npt.NDArray[np.float64]:
    """Distances divided by the largest of their sign in their nucleus."""
    furthest_right, furthest_left = np.ones(n_nuclei), np.ones(n_nuclei)
    np.maximum.at(furthest_right, nucleus, distance)
    np.maximum.at(furthest_left, nucleus, -distance)
    reach = np.where(distance > 0, furthest_right[nucleus], furthest_left[nucleus])
    normalised: npt.NDArray[np.float64] = distance / reach
    return normalised
