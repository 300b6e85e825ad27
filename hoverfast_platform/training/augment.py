"""Vary an image and its labels as other scanners, stains and cuts would.

A crop is a pure function of the patch, the settings and a random generator: it comes out the
same in whichever process, and whether or not training was interrupted before.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from hoverfast_platform.arrays import InstanceMap, RgbImage
from hoverfast_platform.storage.patch_table import Patch, split_into_pieces
from hoverfast_platform.training.appearance import OD_OF_BYTE, vary_contrast
from hoverfast_platform.training.crowding import crowd
from hoverfast_platform.training.settings import Augmentation, TrainingSettings

_OD_OF_STAIN = np.array(
    [[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]], dtype=np.float32
)
"""Optical density of haematoxylin, eosin and DAB (the residual) in red, green and blue.

Ruifrok and Johnston, Anal Quant Cytol Histol 23 (2001) 291.
"""

_OD_OF_STAIN /= np.linalg.norm(_OD_OF_STAIN, axis=1, keepdims=True)
_STAIN_OF_OD = np.linalg.inv(_OD_OF_STAIN).astype(np.float32)
_MARGIN_PX = 16
"""Cut off again after warping, so that nuclei at the crop's edge keep their true centre."""


def random_crop(
    patch: Patch, settings: TrainingSettings, rng: np.random.Generator
) -> tuple[RgbImage, InstanceMap]:
    """A varied crop of a patch with a margin of 16 px around it, for the targets.

    Returns:
        Image ``(S, S, 3)`` and instance map ``(S, S)`` with ``S = crop_px + 32``;
        :func:`without_margin` cuts the margin off once HV maps have been made.
    """
    side = settings.crop_px + 2 * _MARGIN_PX
    image, instance_map = _warp(patch, side, settings, rng)
    augmentation = settings.augmentation
    if rng.random() < augmentation.crowd_probability:
        image, instance_map = crowd(image, instance_map, rng)
    if rng.random() < augmentation.contrast_probability:
        image = vary_contrast(image, instance_map, rng)
    return vary_colours(image, augmentation, rng), instance_map


def without_margin(array: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """The last two axes without the margin of :func:`random_crop`."""
    return array[..., _MARGIN_PX:-_MARGIN_PX, _MARGIN_PX:-_MARGIN_PX]


def _warp(
    patch: Patch, side: int, settings: TrainingSettings, rng: np.random.Generator
) -> tuple[RgbImage, InstanceMap]:
    """Rotation, mirroring and scaling about a random centre, in one interpolation."""
    height, width = patch.instance_map.shape
    centre = rng.uniform((0, 0), (width, height))
    n_nuclei = int(patch.instance_map.max(initial=0))
    if n_nuclei and rng.random() < settings.crowding:
        y, x = np.nonzero(patch.instance_map == rng.integers(1, n_nuclei + 1))
        offset = rng.uniform(-side / 3, side / 3, 2)
        centre = np.array([x.mean(), y.mean()]) + offset
    reach = math.log(settings.augmentation.max_scaling)
    scale = math.exp(rng.uniform(-reach, reach))
    # Crops of a small patch stay inside it as far as they can: mirrored borders teach less.
    room = np.minimum(np.array([width, height]) / 2, side / scale / 2)
    centre = np.clip(centre, room, np.array([width, height]) - room)
    angle = rng.choice(4) * 90.0 + (rng.uniform(-45, 45) if rng.random() < 0.5 else 0.0)
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    # From crop to patch, as warpAffine with WARP_INVERSE_MAP wants it.
    linear = np.array([[cos * mirror, -sin], [sin * mirror, cos]]) / scale
    shift = centre - linear @ np.array([(side - 1) / 2, (side - 1) / 2])
    matrix = np.column_stack([linear, shift])
    image = cv2.warpAffine(
        patch.image,
        matrix,
        (side, side),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    labels = cv2.warpAffine(
        patch.instance_map.astype(np.uint16),
        matrix,
        (side, side),
        flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    return image, split_into_pieces(labels)


def vary_colours(image: RgbImage, settings: Augmentation, rng: np.random.Generator) -> RgbImage:
    """Another stain, another scanner: a varied copy of ``(H, W, 3)``."""
    varied = vary_stains(image, settings, rng)
    if rng.random() < settings.colour_probability:
        varied = _vary_scanner(varied, rng)
    if rng.random() < settings.defocus_probability:
        varied = _defocus(varied, rng)
    if rng.random() < settings.noise_probability:
        varied = _degrade(varied, rng)
    return varied


def vary_stains(image: RgbImage, settings: Augmentation, rng: np.random.Generator) -> RgbImage:
    """Multiply and shift the amount of each stain (Tellez et al., IEEE TMI 37 (2018) 2126)."""
    factor = rng.uniform(1 - settings.hed_sigma, 1 + settings.hed_sigma, 3).astype(np.float32)
    shift = rng.uniform(-settings.hed_shift, settings.hed_shift, 3).astype(np.float32)
    # To stains, scaled, back: one matrix.
    matrix = (_STAIN_OF_OD * factor) @ _OD_OF_STAIN
    od = OD_OF_BYTE[image.reshape(-1, 3)] @ matrix + shift @ _OD_OF_STAIN
    varied = 256.0 * np.exp(-od) - 1.0
    return np.clip(varied + 0.5, 0, 255).astype(np.uint8).reshape(image.shape)


def _vary_scanner(image: RgbImage, rng: np.random.Generator) -> RgbImage:
    """Hue, saturation, contrast, brightness and gamma."""
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV).astype(np.float32)
    hsv[..., 0] = (hsv[..., 0] + rng.uniform(-9, 9)) % 180.0
    hsv[..., 1] *= rng.uniform(0.7, 1.3)
    rgb = cv2.cvtColor(np.clip(hsv, 0, 255).astype(np.uint8), cv2.COLOR_HSV2RGB)
    levels = np.linspace(0, 1, 256) ** rng.uniform(0.75, 1.35)
    levels = (levels - 0.5) * rng.uniform(0.75, 1.2) + 0.5 + rng.uniform(-0.08, 0.08)
    table = np.clip(levels * 255.0, 0, 255).astype(np.uint8)
    return cv2.LUT(rgb, table)


def _defocus(image: RgbImage, rng: np.random.Generator) -> RgbImage:
    """Gaussian blur, or the resolution of a lower magnification."""
    if rng.random() < 0.5:
        return cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.5))
    factor = rng.uniform(1.3, 2.2)
    height, width = image.shape[:2]
    small = cv2.resize(
        image, (round(width / factor), round(height / factor)), interpolation=cv2.INTER_AREA
    )
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def _degrade(image: RgbImage, rng: np.random.Generator) -> RgbImage:
    """Sensor noise, or JPEG artefacts."""
    if rng.random() < 0.5:
        noise = rng.normal(0, rng.uniform(2, 10), image.shape).astype(np.float32)
        return np.clip(image + noise, 0, 255).astype(np.uint8)
    quality = int(rng.integers(30, 90))
    done, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done, "encoding to memory cannot fail for a valid image"
    return cv2.imdecode(jpeg, cv2.IMREAD_COLOR)
