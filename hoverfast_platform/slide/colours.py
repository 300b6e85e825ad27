"""Pixels as a file has them to RGB of 8 bits, and what the channels of a file may be called."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hoverfast_platform.arrays import RgbImage

COLOUR_NAMES = frozenset(
    {"red", "green", "blue", "r", "g", "b", "alpha", "a", "rgb", "brightfield"}
)

UM_PER_UNIT = {
    "m": 1e6, "dm": 1e5, "cm": 1e4, "mm": 1e3, "µm": 1.0, "\u03bcm": 1.0, "um": 1.0, "micron": 1.0,
    "nm": 1e-3, "pm": 1e-6, "Å": 1e-4, "in": 25_400.0, "ft": 304_800.0, "meter": 1e6,
    "centimeter": 1e4, "millimeter": 1e3, "micrometer": 1.0, "nanometer": 1e-3, "inch": 25_400.0,
}  # fmt: skip
"""As OME-XML and OME-Zarr write units of length."""


def to_rgb(pixels: npt.NDArray[Any], white: float) -> RgbImage:
    """Grey or colour, with or without alpha, as RGB; alpha is composed on white.

    Args:
        pixels: ``(H, W, 1, 3 or 4)``.
        white: The value that is white, 255 for pixels of 8 bits.
    """
    if pixels.dtype != np.uint8:
        scaled = np.clip(pixels.astype(np.float32) / white, 0, 1)
        pixels = np.round(np.nan_to_num(scaled) * 255).astype(np.uint8)
    if pixels.shape[2] == 4:
        alpha = pixels[..., 3:].astype(np.uint16)
        colour = pixels[..., :3] * alpha + 255 * (255 - alpha)
        pixels = ((colour + 127) // 255).astype(np.uint8)
    return np.broadcast_to(pixels, (*pixels.shape[:2], 3)).astype(np.uint8, copy=False)
