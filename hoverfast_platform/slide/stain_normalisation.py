"""Showing a network every slide in about the strength and balance of stain it learned from.

One factor per colour for a whole slide, so neighbouring tiles agree and nuclei stay independent
of the tile size. Only what the network sees is changed; measurements are of the slide's pixels.

Stain strength differs between labs by a factor of two. A small network that has to bear all of
it misses pale nuclei; docs/models.md has the figures. Macenko et al. (ISBI 2009) and Reinhard et
al. (IEEE CGA 21 (2001) 34) change the hue as well and go wrong where a slide holds one stain
only; factors of optical density cannot.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from hoverfast_platform.arrays import RgbImage
from hoverfast_platform.config import Appearance, DensityRgb

REFERENCE_DENSITY: DensityRgb = (0.258, 0.372, 0.247)
"""Mean over tissue of the TNBC training images (Naylor et al. 2019), an ordinary H&E stain."""

WHITE_LEVEL = 235.0
"""Brightness of the brightest 1 % of pixels in a well exposed image of tissue; of the TNBC images
239 in the median."""

_BRIGHTEST_PERCENT = 99.0
_MAX_GAIN = 3.0
_MIN_TISSUE_DENSITY = 0.35
"""Sum over the colours from which a pixel is tissue and not glass."""
_MIN_TISSUE_PIXELS = 500
_HUE_SHARE = 0.5
"""How far the balance of colours is corrected, on a log scale: fields of stroma alone are red
because of what they are, not because of how they were stained."""
_MAX_FACTOR = 2.5


ORDINARY_APPEARANCE = Appearance(white_level=WHITE_LEVEL, stain_density=REFERENCE_DENSITY)


@dataclass(frozen=True)
class StainNormalisation:
    """Gain and factors of optical density that bring images of one slide to a reference.

    Attributes:
        factors: Of the densities of red, green and blue; all 1 leaves the stain as it is.
        gain: By which brightness is multiplied first; 1 leaves the exposure as it is.
    """

    factors: DensityRgb = (1.0, 1.0, 1.0)
    gain: float = 1.0

    @classmethod
    def between(
        cls, found: DensityRgb | None, target: DensityRgb | None, gain: float = 1.0
    ) -> StainNormalisation:
        """From the density found on a slide to a model's; either None: the stain stays."""
        if found is None or target is None:
            return cls(gain=gain)
        log_ratio = np.log(np.array(target) / np.array(found))
        strength = log_ratio.mean()
        logs = strength + _HUE_SHARE * (log_ratio - strength)
        bounded = np.exp(np.clip(logs, -np.log(_MAX_FACTOR), np.log(_MAX_FACTOR)))
        red, green, blue = (round(float(factor), 4) for factor in bounded)
        return cls((red, green, blue), gain)

    @property
    def changes_nothing(self) -> bool:
        return self.factors == (1.0, 1.0, 1.0) and self.gain == 1.0

    def apply(self, rgb: RgbImage) -> RgbImage:
        """The image as the network is to see it, ``(H, W, 3)``."""
        if self.changes_nothing:
            return rgb
        density = _density_of_byte(self.gain)[:, None] * np.array(self.factors)
        table = np.clip(np.round(256.0 * np.exp(-density) - 1.0), 0, 255).astype(np.uint8)
        return np.asarray(cv2.LUT(rgb, table.reshape(256, 1, 3)), dtype=np.uint8)


def _density_of_byte(gain: float) -> npt.NDArray[np.float64]:
    """Optical density of every byte, ``(256,)``, once brightness is multiplied."""
    brightness = np.minimum(np.arange(256) * gain, 255.0)
    density: npt.NDArray[np.float64] = -np.log((brightness + 1.0) / 256.0)
    return density


def exposure_gain(samples: Sequence[RgbImage], white_level: float | None) -> float:
    """By what to multiply brightness so that the brightest 1 % of pixels reach a level.

    A pixel counts by its brightest colour, since no stain of H&E takes all colours away: eosin
    leaves red. At least 1, and at most 3, beyond which noise would be taken for tissue.

    Args:
        samples: Of one slide or image, ``(H, W, 3)``.
        white_level: Wanted, 0..255. None: 1.
    """
    if white_level is None or not samples:
        return 1.0
    counts = np.zeros(256, dtype=np.int64)
    for rgb in samples:
        brightest_colour = cv2.max(cv2.max(rgb[..., 0], rgb[..., 1]), rgb[..., 2])
        counts += np.bincount(brightest_colour.ravel(), minlength=256)
    below = np.cumsum(counts) / counts.sum()
    brightest = int(np.searchsorted(below, _BRIGHTEST_PERCENT / 100.0))
    return round(float(np.clip(white_level / max(brightest, 1), 1.0, _MAX_GAIN)), 4)


def tissue_density(samples: Iterable[RgbImage], gain: float = 1.0) -> DensityRgb | None:
    """Mean optical density of the pixels that are not glass, over all samples together.

    None where there are hardly any: an empty slide has no stain to speak of.
    """
    total, n_pixels = np.zeros(3), 0
    table = _density_of_byte(gain).astype(np.float32)
    for rgb in samples:
        density = cv2.LUT(np.ascontiguousarray(rgb), table)
        summed = cv2.transform(density, np.ones((1, 3), np.float32))
        is_tissue = (summed > _MIN_TISSUE_DENSITY).astype(np.uint8)
        n = cv2.countNonZero(is_tissue)
        total += np.array(cv2.mean(density, is_tissue)[:3]) * n
        n_pixels += n
    if n_pixels < _MIN_TISSUE_PIXELS:
        return None
    red, green, blue = (float(value) for value in total / n_pixels)
    return red, green, blue


def normalisation_of(samples: Sequence[RgbImage], wanted: Appearance) -> StainNormalisation:
    """For what the samples were taken of: a slide, or an image by itself."""
    gain = exposure_gain(samples, wanted.white_level)
    if wanted.stain_density is None:
        return StainNormalisation(gain=gain)
    found = tissue_density(samples, gain)
    return StainNormalisation.between(found, wanted.stain_density, gain)
