"""The slide as the built-in engine sees it: colours at the mask's scale, texture at a finer one.

Read once, in strips, so that memory is bounded by the mask's size and not by the slide's, also
where there is no pyramid.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from hoverfast_platform.arrays import RgbImage
from hoverfast_platform.slide.reader import SlideReader
from hoverfast_platform.slide.thumbnail import read_strips, refuse_endless

_TEXTURE_MPP = 4.0
"""At which focus is judged: nuclei are two pixels wide, and every scanner is sharp there."""

_COARSE_TEXTURE_PX = 3.0
"""Texture coarser than this many fine pixels (12 um) survives a blur that hides nuclei."""

_GLASS_LEVEL = 180
"""Lowest grey level of glass; darker backgrounds are scanner padding."""

_GLASS_CHROMA = 24
"""Largest difference between the channels of glass; yellowed glass has some 15."""

_PADDING_LEVEL = 254
"""All channels at least this: usually not scanned at all, sometimes overexposed glass."""

_SMOOTH = 0.01
"""Mean Laplacian below which a pixel has no structure; glass of real slides has under 0.006."""


@dataclass(frozen=True)
class LowResolution:
    """A slide at low resolution.

    Attributes:
        rgb: ``(H, W, 3)``, pixels of ``mpp`` x ``mpp`` um; covers the frame exactly.
        mpp: Micrometres per pixel.
        fine_texture: ``(H, W)`` mean absolute Laplacian of the grey image (0..1) at about
            4 um/px: what focus makes.
        coarse_texture: ``(H, W)`` mean absolute difference from the surroundings of 12 um: how
            much there is to focus on.
        texture_mpp: At which texture was measured.
        glass: ``(3,)`` colour of this slide's glass, 0..255.
    """

    rgb: RgbImage
    mpp: float
    fine_texture: npt.NDArray[np.float32]
    coarse_texture: npt.NDArray[np.float32]
    texture_mpp: float
    glass: npt.NDArray[np.float32]

    @property
    def shape(self) -> tuple[int, int]:
        return self.rgb.shape[0], self.rgb.shape[1]

    def px(self, um: float) -> float:
        """A length in pixels."""
        return um / self.mpp

    def area_px(self, um2: float) -> float:
        """An area in pixels."""
        return um2 / self.mpp**2

    def optical_density(self, blur_um: float) -> npt.NDArray[np.float32]:
        """``(H, W, 3)`` decadic optical density above the glass, after smoothing."""
        smooth = cv2.GaussianBlur(self.rgb, (0, 0), max(0.5, self.px(blur_um)))
        light = np.maximum(smooth.astype(np.float32), 1.0)
        density: npt.NDArray[np.float32] = np.log10(self.glass) - np.log10(light)
        return density

    def colourfulness(self, blur_um: float) -> npt.NDArray[np.float32]:
        """``(H, W)`` spread of the channels' densities, relative to their mean.

        Whatever the stain's strength: below 0.15 for dust, hairs, pencil and the rims of
        bubbles, from 0.3 for a greyish silver stain, from 0.5 for H&E.
        """
        density = self.optical_density(blur_um)
        spread: npt.NDArray[np.float32] = density.max(axis=2) - density.min(axis=2)
        # The small term keeps glass, where both are noise, grey.
        return spread / (np.maximum(density.mean(axis=2), 0) + 0.02)


def read_low_resolution(reader: SlideReader, mpp: float) -> LowResolution:
    """Read a slide once, at about ``mpp`` um per pixel and never finer than the slide.

    Pixels are square in um also where the slide's are not.
    """
    info = reader.info
    finest = max(info.mpp.x, info.mpp.y)
    mpp = max(mpp, finest)
    width = max(1, round(info.width * info.mpp.x / mpp))
    height = max(1, round(info.height * info.mpp.y / mpp))
    n_fine = max(1, min(round(mpp / _TEXTURE_MPP), int(mpp / finest)))
    refuse_endless(reader, width * n_fine, height * n_fine, n_kept=width * height)
    rgb = np.empty((height, width, 3), dtype=np.uint8)
    fine_texture = np.empty((height, width), dtype=np.float32)
    coarse_texture = np.empty((height, width), dtype=np.float32)
    for top, strip in read_strips(reader, width * n_fine, height * n_fine, n_rows_unit=n_fine):
        rows = slice(top // n_fine, (top + strip.shape[0]) // n_fine)
        size = (width, rows.stop - rows.start)
        grey = cv2.cvtColor(strip, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
        coarse = np.abs(grey - cv2.GaussianBlur(grey, (0, 0), _COARSE_TEXTURE_PX))
        fine = np.abs(cv2.Laplacian(grey, cv2.CV_32F, ksize=1))
        rgb[rows] = cv2.resize(strip, size, interpolation=cv2.INTER_AREA)
        fine_texture[rows] = cv2.resize(fine, size, interpolation=cv2.INTER_AREA)
        coarse_texture[rows] = cv2.resize(coarse, size, interpolation=cv2.INTER_AREA)
    glass = _glass(rgb, fine_texture)
    return LowResolution(rgb, mpp, fine_texture, coarse_texture, mpp / n_fine, glass)


def _glass(rgb: RgbImage, texture: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Colour of the glass, per channel: the commonest bright level of what has no structure.

    What was not scanned is white in the file and brighter than the glass beside it, so pure
    white is glass only where nothing else can be.
    """
    darkest = rgb.min(axis=2)
    bright = (darkest >= _GLASS_LEVEL) & (rgb.max(axis=2) - darkest <= _GLASS_CHROMA)
    smooth = bright & (texture < _SMOOTH)
    scanned = smooth & (darkest < _PADDING_LEVEL)
    for candidates in (scanned, smooth, bright):
        if candidates.mean() > 0.02:
            return np.array(
                [np.bincount(rgb[..., c][candidates], minlength=256).argmax() for c in range(3)],
                dtype=np.float32,
            )
    # A slide without glass; then white is the reference.
    return np.full(3, 245, dtype=np.float32)
