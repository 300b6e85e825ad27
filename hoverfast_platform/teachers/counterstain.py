"""Lay eosin over images that were stained with hematoxylin alone.

Where people's outlines of H&E are few, those of nuclei in other stains still show how nuclei lie:
in rows, in crowds, over each other. Seen in the colours of H&E they teach a student that (stain
augmentation, Tellez et al., IEEE TMI 37 (2018) 2126, goes within a stain; this goes across).
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from hoverfast_platform.arrays import InstanceMap, RgbImage
from hoverfast_platform.stain import HEMATOXYLIN, RUIFROK_EOSIN, shown_density, unit_colour

_GLASS_PERCENTILE = 90.0
"""This percentile of every channel is taken for the colour of glass, whatever its tint."""

_NUCLEUS_EDGE_SIGMA_PX = 1.5
_FINE_SIGMA_PX, _COARSE_SIGMA_PX = 1.0, 6.0
"""Fibres and membranes are finer than the second and coarser than the first."""


def counterstain(image: RgbImage, instance_map: InstanceMap, rng: np.random.Generator) -> RgbImage:
    """The image as H&E might have shown it.

    What was tinted glass becomes white; the dye becomes hematoxylin, paler or darker. Eosin is
    laid over all of it, unevenly, less in nuclei and more on fine structure around them, with
    some hematoxylin in the cytoplasm here and there. Where glass was and where tissue cannot be
    told in such images, so that there is no white in the result.

    Args:
        image: ``(H, W, 3)`` uint8, one dye.
        instance_map: ``(H, W)``.
        rng: Decides how much of each; another gives another laboratory.
    """
    hematoxylin = _dye(image) * np.float32(rng.uniform(0.7, 1.2))
    in_nuclei = cv2.GaussianBlur(
        (instance_map > 0).astype(np.float32), (0, 0), _NUCLEUS_EDGE_SIGMA_PX
    )
    around = np.float32(1.0) - in_nuclei
    shape = instance_map.shape
    uneven = 0.45 + 0.55 * _clouds(shape, 4, rng)
    grain = 0.75 + 0.5 * rng.uniform(0.3, 1.0) * _clouds(shape, 24, rng)
    in_nuclei_less = 1.0 - rng.uniform(0.3, 0.7) * in_nuclei
    eosin = rng.uniform(0.25, 0.7) * uneven * grain * in_nuclei_less
    eosin += rng.uniform(1.0, 4.0) * _fine_structure(hematoxylin) * around
    hematoxylin += rng.uniform(0.0, 0.3) * _clouds(shape, 5, rng) * around
    density = hematoxylin[..., None] * unit_colour(HEMATOXYLIN)
    density += eosin[..., None] * unit_colour(RUIFROK_EOSIN)
    density += rng.uniform(0.0, 0.08)
    noisy = 256.0 * np.exp(-density) - 0.5 + rng.normal(0.0, 2.0, density.shape)
    stained: RgbImage = np.clip(noisy, 0, 255).astype(np.uint8)
    return stained


def _dye(image: RgbImage) -> npt.NDArray[np.float32]:
    """Amount of dye, ``(H, W)``: optical density above the glass's, base e, 1 for a unit vector."""
    glass = np.percentile(image.reshape(-1, 3), _GLASS_PERCENTILE, axis=0)
    density = np.maximum(shown_density(image.astype(np.float64), glass), 0.0).sum(axis=2)
    dye: npt.NDArray[np.float32] = (density / unit_colour(HEMATOXYLIN).sum()).astype(np.float32)
    return dye


def _fine_structure(dye: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    fine = cv2.GaussianBlur(dye, (0, 0), _FINE_SIGMA_PX)
    coarse = cv2.GaussianBlur(dye, (0, 0), _COARSE_SIGMA_PX)
    structure: npt.NDArray[np.float32] = np.maximum(fine - coarse, 0.0)
    return structure


def _clouds(shape: tuple[int, ...], n: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Smooth noise, 0..1, with ``n`` hills and valleys to a side."""
    coarse = rng.random((n, n)).astype(np.float32)
    clouds: npt.NDArray[np.float32] = cv2.resize(
        coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC
    ).clip(0, 1)
    return clouds
