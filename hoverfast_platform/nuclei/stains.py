"""Optical density and its separation into stains (colour deconvolution).

Optical density is ``-log10(value / 255)`` per channel, so 0 is white glass. Two stains are
told apart by their colour; what neither explains goes to a third vector perpendicular to both
and is dropped. Vectors and arithmetic are those of QuPath's defaults, so that our numbers are
QuPath's numbers (``StainVector.makeDefaultStainVector``); the method is Ruifrok & Johnston,
Anal Quant Cytol Histol 23 (2001) 291.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hoverfast_platform.arrays import RgbImage
from hoverfast_platform.config import Stain

HEMATOXYLIN = (0.65, 0.70, 0.29)
EOSIN = (0.2159, 0.8012, 0.5581)
DAB = (0.27, 0.57, 0.78)

_OPTICAL_DENSITY = (-np.log10(np.maximum(np.arange(256), 1) / 255.0)).astype(np.float32)
"""Of each byte; black is taken as 1, as QuPath does, so that it stays finite."""


@dataclass(frozen=True)
class StainPair:
    """Two stains and the matrix that separates them.

    Attributes:
        names: Column prefixes of the two stains, the nuclear counterstain first.
        to_stains: ``(3, 2)`` float32; optical density of R, G, B times this gives the stains'.
    """

    names: tuple[str, str]
    to_stains: npt.NDArray[np.float32]

    @classmethod
    def of(cls, stain: Stain) -> StainPair:
        """The pair of a staining."""
        return _PAIRS[stain]


def _separation(first: tuple[float, ...], second: tuple[float, ...]) -> npt.NDArray[np.float32]:
    a, b = (np.array(v) / np.linalg.norm(v) for v in (first, second))
    residual = np.cross(a, b)
    vectors = np.stack([a, b, residual / np.linalg.norm(residual)])
    return np.linalg.inv(vectors)[:, :2].astype(np.float32)


_PAIRS: dict[Stain, StainPair] = {
    "he": StainPair(("hematoxylin", "eosin"), _separation(HEMATOXYLIN, EOSIN)),
    "ihc_dab": StainPair(("hematoxylin", "dab"), _separation(HEMATOXYLIN, DAB)),
}


def stain_optical_density(rgb: RgbImage, stain: Stain) -> npt.NDArray[np.float32]:
    """Optical density of the two stains at some pixels.

    Args:
        rgb: ``(..., 3)`` uint8.
        stain: Which two stains.

    Returns:
        ``(..., 2)`` float32, counterstain first. Slightly negative where the colour lies
        outside the angle between the two stains.
    """
    return _OPTICAL_DENSITY[rgb] @ StainPair.of(stain).to_stains


def density_by_byte(stain: Stain) -> npt.NDArray[np.float32]:
    """``(3, 256, 2)``: what a value of R, G or B adds to the density of both stains."""
    return _OPTICAL_DENSITY[None, :, None] * StainPair.of(stain).to_stains[:, None, :]


def nuclear_stain_image(rgb: RgbImage) -> RgbImage:
    """A hematoxylin and DAB image as a network for H&E expects it: nuclei of both colours blue.

    The densities of hematoxylin and DAB are added and shown as hematoxylin. The published
    HoverFast shows hematoxylin alone, which empties the most positive nuclei: DAB hides their
    hematoxylin.

    Args:
        rgb: ``(H, W, 3)`` uint8.
    """
    density = np.maximum(stain_optical_density(rgb, "ihc_dab"), 0).sum(axis=-1)
    unit = (np.array(HEMATOXYLIN) / np.linalg.norm(HEMATOXYLIN)).astype(np.float32)
    shade = np.round(255 * np.power(np.float32(10), -density[..., None] * unit))
    image: RgbImage = shade.astype(np.uint8)
    return image
