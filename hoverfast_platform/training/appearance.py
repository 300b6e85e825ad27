"""Vary nuclei against their surroundings, as other organs would; needs the labels to do it.

Colour augmentation changes a whole image alike. What differs between organs is local: epithelium
has purple cytoplasm around pale nuclei, tumours have vesicular ones. A student that learned from
few organs misses what none of them showed (domain randomisation, Tobin et al., IROS 2017).
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from hoverfast_platform.arrays import InstanceMap, RgbImage
from hoverfast_platform.nuclei.stains import HEMATOXYLIN

OD_OF_BYTE = -np.log((np.arange(256, dtype=np.float32) + 1.0) / 256.0)
"""Optical density (base e) of each byte; black stays finite."""

_HEMATOXYLIN_OD = np.array(HEMATOXYLIN, dtype=np.float32)

_SMALLEST_CONTRAST_OD = 0.08
"""Nuclei stay so much denser in red than what is around them, or they were none."""

_EDGE_SIGMA_PX = 1.2
_RIM_PX = 2.5
"""What stays dark of a vesicular nucleus."""

DensityImage = npt.NDArray[np.float32]
"""Optical density, ``(H, W, 3)``."""


def vary_contrast(image: RgbImage, instance_map: InstanceMap, rng: np.random.Generator) -> RgbImage:
    """Paler, darker and vesicular nuclei in more or less purple surroundings.

    Args:
        image: ``(H, W, 3)`` uint8.
        instance_map: ``(H, W)``.
        rng: Decides how much of each.

    Returns:
        A varied copy. Nuclei that were denser in red than the tissue around them, on the average,
        stay so: where they would not, half of the change is taken back, up to twice, then all.
    """
    nuclei = instance_map > 0
    if not nuclei.any() or nuclei.all():
        return image
    density = OD_OF_BYTE[image]
    change = _density_of_nuclei(instance_map, rng) * density - density
    change += _stained_surroundings(density, nuclei, rng)
    before = _contrast(density, nuclei)
    for share in (1.0, 0.5, 0.25):
        varied = density + share * change
        if _contrast(varied, nuclei) >= min(before, _SMALLEST_CONTRAST_OD):
            return _to_rgb(varied)
    return image


def _density_of_nuclei(
    instance_map: InstanceMap, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Factor of optical density, ``(H, W, 1)``: 1 outside nuclei, soft at their edges."""
    n = int(instance_map.max())
    factors = np.ones(n + 1, dtype=np.float32)
    factors[1:] = rng.uniform(0.6, 1.25) * rng.uniform(0.8, 1.2, n)
    field = factors[instance_map]
    if rng.random() < 0.5:
        field *= _vesicular(instance_map, rng)
    return cv2.GaussianBlur(field, (0, 0), _EDGE_SIGMA_PX).astype(np.float32)[..., None]


def _vesicular(instance_map: InstanceMap, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Factor that lightens the inside of some nuclei and leaves the rim of each."""
    n = int(instance_map.max())
    inside = np.ones(n + 1, dtype=np.float32)
    pale = rng.random(n) < rng.uniform(0.2, 0.9)
    inside[1:][pale] = rng.uniform(0.5, 0.9, int(pale.sum()))
    numbers, kernel = instance_map.astype(np.uint16), np.ones((3, 3), np.uint8)
    # A rim runs between two nuclei that touch, too: it is what tells them apart.
    inside_one = (numbers > 0) & (cv2.dilate(numbers, kernel) == cv2.erode(numbers, kernel))
    depth = cv2.distanceTransform(inside_one.astype(np.uint8), cv2.DIST_L2, 3) + 1.0
    return np.where(depth > _RIM_PX, inside[instance_map], np.float32(1.0))


def _stained_surroundings(
    density: DensityImage, nuclei: npt.NDArray[np.bool_], rng: np.random.Generator
) -> DensityImage:
    """What to add to density outside nuclei: a factor, and patches of haematoxylin in tissue."""
    height, width = nuclei.shape
    outside = 1.0 - cv2.GaussianBlur(nuclei.astype(np.float32), (0, 0), _EDGE_SIGMA_PX)
    coarse = rng.random((6, 6)).astype(np.float32)
    patches = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 1)
    tissue = (density.mean(axis=2) / 0.25).clip(0, 1)
    purple = rng.uniform(0, 0.35) * patches * tissue * outside
    factor = np.float32(rng.uniform(0.8, 1.35) - 1.0)
    added: DensityImage = (
        density * (factor * outside)[..., None] + purple[..., None] * _HEMATOXYLIN_OD
    )
    return added


def _contrast(density: DensityImage, nuclei: npt.NDArray[np.bool_]) -> float:
    """How much denser nuclei are in red than the tissue around them."""
    red = density[..., 0]
    around = ~nuclei & (density.mean(axis=2) > 0.1)
    return float(red[nuclei].mean() - red[around].mean()) if around.any() else 1.0


def _to_rgb(density: DensityImage) -> RgbImage:
    return np.clip(256.0 * np.exp(-density) - 0.5, 0, 255).astype(np.uint8)
