"""How strongly tissue is stained, as numbers that compare between slides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from skimage.color import hed_from_rgb

from hoverfast_platform.arrays import RgbImage


@dataclass(frozen=True)
class Stain:
    """Median optical densities over a slide's tissue, base 10.

    Attributes:
        haematoxylin: Of the blue stain of nuclei.
        eosin: Of the pink stain around them.
    """

    haematoxylin: float
    eosin: float


def measure_stain(rgb: RgbImage, is_tissue: npt.NDArray[np.bool_]) -> Stain | None:
    """The stain of a slide, from its thumbnail.

    Absolute values depend on the scanner; they are for comparing slides of one kind.

    Args:
        rgb: ``(H, W, 3)`` thumbnail.
        is_tissue: ``(H, W)``, where there is tissue.

    Returns:
        None without tissue.

    References:
        Ruifrok and Johnston, Anal Quant Cytol Histol 23 (2001) 291: the stains' colours.
    """
    pixels = rgb[is_tissue]
    if not len(pixels):
        return None
    density = -np.log10((pixels.astype(np.float64) + 1) / 256)
    haematoxylin, eosin, _residual = np.median(density @ hed_from_rgb, axis=0)
    return Stain(float(haematoxylin), float(eosin))
