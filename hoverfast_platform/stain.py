"""Optical density, the colours of stains, and how strongly a slide is stained.

Two optical densities of a byte exist, each for its purpose, and nowhere else is another computed:

* **Measured density**, ``-log10(value / 255)`` with black taken as 1, is QuPath's. What is written
  into results is measured in it, so that our numbers are QuPath's numbers. Stains are told apart
  by colour deconvolution (Ruifrok & Johnston, Anal Quant Cytol Histol 23 (2001) 291) with the
  vectors of QuPath's defaults (``StainVector.makeDefaultStainVector``).
* **Shown density**, ``-ln((value + 1) / 256)``, can be turned back for every byte. What changes the
  colours of an image, for a network or in training, computes in it.

Normalisation shows a network every slide in about the strength and balance of stain it learned
from. One gain of brightness and one factor per colour hold for a whole slide, so neighbouring
tiles agree and nuclei stay independent of the tile size. Only what the network sees is changed;
measurements are of the slide's pixels. Stain strength differs between labs by a factor of two. A
small network that has to bear all of it misses pale nuclei; docs/lab-notes/models.md has the
figures. Macenko et al. (ISBI 2009) and Reinhard et al. (IEEE CGA 21 (2001) 34) change the hue as
well and go wrong where a slide holds one stain only; factors of optical density cannot.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from hoverfast_platform.arrays import RgbImage
from hoverfast_platform.config import Appearance, DensityRgb, Stain

HEMATOXYLIN = (0.65, 0.70, 0.29)
EOSIN = (0.2159, 0.8012, 0.5581)
DAB = (0.27, 0.57, 0.78)
"""Colours of the stains as optical densities of red, green and blue; QuPath's defaults."""
RUIFROK_EOSIN = (0.07, 0.99, 0.11)
"""Eosin as Ruifrok and Johnston give it: far from hematoxylin, so that training, which changes one
stain without the other, covers more colours than with QuPath's. Nothing is measured in it."""

MEASURED_DENSITY = (-np.log10(np.maximum(np.arange(256), 1) / 255.0)).astype(np.float32)
"""The measured density of each byte; black is taken as 1, as QuPath does, so that it is finite."""

REFERENCE_DENSITY: DensityRgb = (0.258, 0.372, 0.247)
"""Mean over tissue of the TNBC training images (Naylor et al. 2019), an ordinary H&E stain."""

WHITE_LEVEL = 235.0
"""Brightness of the brightest 1 % of pixels in a well exposed image of tissue; of the TNBC images
239 in the median."""

_BRIGHTEST_PERCENT = 99.0
_MAX_GAIN = 3.0
_MIN_TISSUE_DENSITY = 0.35
"""Sum over the colours from which a pixel is tissue and not glass."""
_NOT_SCANNED = 254
"""All colours from here on: white that a scanner wrote where it did not look."""
_MIN_TISSUE_PIXELS = 500
_HUE_SHARE = 0.5
"""How far the balance of colours is corrected, on a log scale: fields of stroma alone are red
because of what they are, not because of how they were stained."""
_MAX_FACTOR = 2.5

ORDINARY_APPEARANCE = Appearance(white_level=WHITE_LEVEL, stain_density=REFERENCE_DENSITY)


@dataclass(frozen=True)
class StainPair:
    """Two stains and the matrix that separates them.

    What neither of the two explains goes to a third vector perpendicular to both and is dropped.

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


def unit_colour(stain: tuple[float, float, float]) -> npt.NDArray[np.float32]:
    """The colour of a stain, ``(3,)`` float32, as a vector of length 1."""
    unit: npt.NDArray[np.float32] = (np.array(stain) / np.linalg.norm(stain)).astype(np.float32)
    return unit


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
    """Measured density of the two stains at some pixels.

    Args:
        rgb: ``(..., 3)`` uint8.
        stain: Which two stains.

    Returns:
        ``(..., 2)`` float32, counterstain first. Slightly negative where the colour lies
        outside the angle between the two stains.
    """
    return MEASURED_DENSITY[rgb] @ StainPair.of(stain).to_stains


def density_by_byte(stain: Stain) -> npt.NDArray[np.float32]:
    """``(3, 256, 2)``: what a value of R, G or B adds to the density of both stains."""
    return MEASURED_DENSITY[None, :, None] * StainPair.of(stain).to_stains[:, None, :]


def nuclear_stain_image(rgb: RgbImage) -> RgbImage:
    """A hematoxylin and DAB image as a network for H&E expects it: nuclei of both colours blue.

    The densities of hematoxylin and DAB are added and shown as hematoxylin. The published
    HoverFast shows hematoxylin alone, which empties the most positive nuclei: DAB hides their
    hematoxylin.

    Args:
        rgb: ``(H, W, 3)`` uint8.
    """
    density = np.maximum(stain_optical_density(rgb, "ihc_dab"), 0).sum(axis=-1)
    unit = unit_colour(HEMATOXYLIN)
    shade = np.round(255 * np.power(np.float32(10), -density[..., None] * unit))
    image: RgbImage = shade.astype(np.uint8)
    return image


@dataclass(frozen=True)
class StainStrength:
    """How strongly an H&E slide is stained: median measured densities over its tissue.

    Attributes:
        hematoxylin: The blue stain of nuclei.
        eosin: The pink stain around them.
    """

    hematoxylin: float
    eosin: float


def measure_stain(rgb: RgbImage, is_tissue: npt.NDArray[np.bool_]) -> StainStrength | None:
    """The strength of a slide's stains, from its thumbnail.

    Of the pixels given only those count that are not glass, however wide a margin a mask has.
    Absolute values depend on the scanner; they are for comparing slides of one kind.

    Args:
        rgb: ``(H, W, 3)`` thumbnail.
        is_tissue: ``(H, W)``, where there is tissue.

    Returns:
        None without tissue.
    """
    pixels: RgbImage = rgb[is_tissue & tissue_proper(rgb)]
    if not len(pixels):
        return None
    hematoxylin, eosin = np.median(stain_optical_density(pixels, "he"), axis=0)
    return StainStrength(float(hematoxylin), float(eosin))


@dataclass(frozen=True)
class StainNormalisation:
    """Gain and factors of optical density that bring images of one slide to a reference.

    Attributes:
        factors: Factors of the densities of red, green and blue; all 1 leaves the stain as it is.
        gain: By which brightness is multiplied first; 1 leaves the exposure as it is.
    """

    factors: DensityRgb = (1.0, 1.0, 1.0)
    gain: float = 1.0

    @classmethod
    def between(
        cls, found: DensityRgb | None, target: DensityRgb | None, gain: float = 1.0
    ) -> StainNormalisation:
        """Make the factors that take a slide's density to a model's; 1 if either is None."""
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
    """Shown density of every byte, ``(256,)``, once brightness is multiplied."""
    brightness = np.minimum(np.arange(256) * gain, 255.0)
    return shown_density(brightness)


def shown_density(
    brightness: npt.NDArray[np.floating], glass: npt.NDArray[np.floating] | float = 255.0
) -> npt.NDArray[np.float64]:
    """Shown density of brightness 0..255, which is 0 where brightness equals that of ``glass``."""
    density: npt.NDArray[np.float64] = -np.log((brightness + 1.0) / (glass + 1.0))
    return density


def exposure_gain(samples: Sequence[RgbImage], white_level: float | None) -> float:
    """Factor of brightness with which the brightest 1 % of pixels reach a level.

    A pixel counts by its brightest colour, since no stain of H&E takes all colours away: eosin
    leaves red. At least 1, and at most 3, beyond which noise would be taken for tissue.

    Args:
        samples: Samples of one slide or image, ``(H, W, 3)``.
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


def tissue_proper(rgb: RgbImage) -> npt.NDArray[np.bool_]:
    """Where a picture of a whole slide is tissue and not glass, by optical density, ``(H, W)``.

    No mask is asked. How bright glass is tell the brightest pixels that were scanned: what was
    not scanned is pure white in the file, and no tissue.

    Args:
        rgb: ``(H, W, 3)``.
    """
    scanned = rgb[rgb.min(axis=2) < _NOT_SCANNED]
    gain = exposure_gain([scanned[None]] if len(scanned) else [], WHITE_LEVEL)
    table = _density_of_byte(gain).astype(np.float32)
    dense: npt.NDArray[np.bool_] = _is_dense(cv2.LUT(np.ascontiguousarray(rgb), table)) > 0
    return dense


def _is_dense(density: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """1 where shown densities ``(H, W, 3)`` add up to tissue."""
    summed = cv2.transform(density, np.ones((1, 3), np.float32))
    return np.asarray(summed > _MIN_TISSUE_DENSITY, dtype=np.uint8)


def tissue_density(samples: Iterable[RgbImage], gain: float = 1.0) -> DensityRgb | None:
    """Mean optical density of the pixels that are not glass, over all samples together.

    None where there are hardly any: an empty slide has no stain to speak of.
    """
    total, n_pixels = np.zeros(3), 0
    table = _density_of_byte(gain).astype(np.float32)
    for rgb in samples:
        density = cv2.LUT(np.ascontiguousarray(rgb), table)
        is_tissue = _is_dense(density)
        n = cv2.countNonZero(is_tissue)
        total += np.array(cv2.mean(density, is_tissue)[:3]) * n
        n_pixels += n
    if n_pixels < _MIN_TISSUE_PIXELS:
        return None
    red, green, blue = (float(value) for value in total / n_pixels)
    return red, green, blue


def normalisation_of(samples: Sequence[RgbImage], wanted: Appearance) -> StainNormalisation:
    """The normalisation for what the samples were taken of: a slide, or an image by itself."""
    gain = exposure_gain(samples, wanted.white_level)
    if wanted.stain_density is None:
        return StainNormalisation(gain=gain)
    found = tissue_density(samples, gain)
    return StainNormalisation.between(found, wanted.stain_density, gain)


def normalised_alone(rgb: RgbImage, wanted: Appearance) -> RgbImage:
    """An image that does not belong to a slide, brought to an appearance by its own stain."""
    return normalisation_of([rgb], wanted).apply(rgb)
