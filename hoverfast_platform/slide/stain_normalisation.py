"""Showing a network every slide in about the strength and balance of stain it learned from.

One factor per colour for a whole slide, so neighbouring tiles agree and nuclei stay independent
of the tile size. Only what the network sees is changed; measurements are of the slide's pixels.

Stain strength differs between labs by a factor of two. A small network that has to bear all of
it misses pale nuclei; docs/models.md has the figures. Macenko et al. (ISBI 2009) and Reinhard et
al. (IEEE CGA 21 (2001) 34) change the hue as well and go wrong where a slide holds one stain
only; factors of optical density cannot.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from hoverfast_platform.arrays import RgbImage

DensityRgb = tuple[float, float, float]
"""Natural-log optical density of red, green and blue: ``-ln((value + 1) / 256)``."""

REFERENCE_DENSITY: DensityRgb = (0.258, 0.372, 0.247)
"""Mean over tissue of the TNBC training images (Naylor et al. 2019), an ordinary H&E stain."""

_MIN_TISSUE_DENSITY = 0.35
"""Sum over the colours from which a pixel is tissue and not glass."""
_MIN_TISSUE_PIXELS = 500
_HUE_SHARE = 0.5
"""How far the balance of colours is corrected, on a log scale: fields of stroma alone are red
because of what they are, not because of how they were stained."""
_MAX_FACTOR = 2.5
_DENSITY_OF_BYTE = -np.log((np.arange(256) + 1.0) / 256.0)


@dataclass(frozen=True)
class StainNormalisation:
    """Factors of optical density that bring images of one slide to a reference.

    Attributes:
        factors: Of red, green and blue; all 1 leaves images as they are.
    """

    factors: DensityRgb = (1.0, 1.0, 1.0)

    @classmethod
    def between(cls, found: DensityRgb | None, target: DensityRgb | None) -> StainNormalisation:
        """From the density found on a slide to a model's; either None: images stay as they are."""
        if found is None or target is None:
            return cls()
        log_ratio = np.log(np.array(target) / np.array(found))
        strength = log_ratio.mean()
        logs = strength + _HUE_SHARE * (log_ratio - strength)
        bounded = np.exp(np.clip(logs, -np.log(_MAX_FACTOR), np.log(_MAX_FACTOR)))
        red, green, blue = (round(float(factor), 4) for factor in bounded)
        return cls((red, green, blue))

    @property
    def changes_nothing(self) -> bool:
        return self.factors == (1.0, 1.0, 1.0)

    def apply(self, rgb: RgbImage) -> RgbImage:
        """The image as the network is to see it, ``(H, W, 3)``."""
        if self.changes_nothing:
            return rgb
        density = _DENSITY_OF_BYTE[:, None] * np.array(self.factors)
        table = np.clip(np.round(256.0 * np.exp(-density) - 1.0), 0, 255).astype(np.uint8)
        return np.asarray(cv2.LUT(rgb, table.reshape(256, 1, 3)), dtype=np.uint8)


def tissue_density(samples: Iterable[RgbImage]) -> DensityRgb | None:
    """Mean optical density of the pixels that are not glass, over all samples together.

    None where there are hardly any: an empty slide has no stain to speak of.
    """
    total, n_pixels = np.zeros(3), 0
    for rgb in samples:
        density = _DENSITY_OF_BYTE.astype(np.float32)[rgb.reshape(-1, 3)]
        tissue = density[density.sum(axis=1) > _MIN_TISSUE_DENSITY]
        total += tissue.sum(axis=0, dtype=np.float64)
        n_pixels += len(tissue)
    if n_pixels < _MIN_TISSUE_PIXELS:
        return None
    red, green, blue = (float(value) for value in total / n_pixels)
    return red, green, blue


def normalisation_of(samples: Iterable[RgbImage], target: DensityRgb | None) -> StainNormalisation:
    """For what the samples were taken of: a slide, or an image by itself."""
    if target is None:
        return StainNormalisation()
    return StainNormalisation.between(tissue_density(samples), target)
