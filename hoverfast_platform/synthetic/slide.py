"""One synthetic slide: pink fibres, purple nuclei, white glass; a pyramidal TIFF.

It looks enough like H&E for a student to find most nuclei; it does not replace tissue.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import tifffile

from hoverfast_platform.errors import SettingsError
from hoverfast_platform.files import written_atomically

_PITCH_UM = 13.0
"""Mean distance of nuclei: about 5,000 per mm2 of tissue."""
_STRIP_PX = 512
_TEXTURE_PX = 1024
_STROMA_OD = np.array([0.10, 0.26, 0.14])
_NUCLEUS_OD = np.array([0.42, 0.60, 0.28])
"""Optical densities of eosin-rich stroma and of hematoxylin, RGB, eyeballed on real slides."""


@dataclass(frozen=True)
class SyntheticTruth:
    """What was drawn.

    Attributes:
        centroid_xy: ``(N, 2)`` level-0 pixels.
        axes_px: ``(N, 2)`` half axes of the ellipses.
        angle_deg: ``(N,)``.
    """

    centroid_xy: npt.NDArray[np.float64]
    axes_px: npt.NDArray[np.float64]
    angle_deg: npt.NDArray[np.float64]


def write_synthetic_slide(
    path: Path,
    *,
    width_px: int,
    height_px: int,
    mpp: float = 0.25,
    seed: int = 0,
    tissue_fraction: float = 0.6,
) -> SyntheticTruth:
    """Write a tiled TIFF with levels 1, 4 and 16; equal arguments give equal pixels.

    Pixels are made in strips through a scratch file, so memory does not grow with the slide.

    Args:
        path: Ends in ``.tiff``; appears whole or not at all.
        width_px: Level-0 pixels.
        height_px: Level-0 pixels.
        mpp: Micrometres per level-0 pixel, written as TIFF resolution.
        seed: Decides everything random.
        tissue_fraction: Share of the slide that is tissue, 0..0.78 (one ellipse).

    Raises:
        SettingsError: If the tissue does not fit the slide.
    """
    if not 0 <= tissue_fraction <= 0.78:
        raise SettingsError(f"tissue_fraction must be in 0..0.78, got {tissue_fraction}.")
    rng = np.random.default_rng(seed)
    truth = _place_nuclei(rng, width_px, height_px, mpp, tissue_fraction)
    textures = [_texture(rng, sigma) for sigma in ((3.0, 14.0), (2.0, 2.0))]
    with tempfile.TemporaryDirectory(dir=_existing(path.parent)) as scratch:
        pixels = np.memmap(Path(scratch) / "pixels", np.uint8, "w+", shape=(height_px, width_px, 3))
        for top in range(0, height_px, _STRIP_PX):
            bottom = min(height_px, top + _STRIP_PX)
            strip = _draw_strip(top, bottom, width_px, truth, textures, tissue_fraction, height_px)
            noise = rng.normal(0, 2.0, strip.shape)
            pixels[top:bottom] = np.clip(strip + noise, 0, 255)
        with written_atomically(path) as part:
            write_pyramid(part, pixels, mpp)
        del pixels
    return truth


def _existing(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _in_tissue(
    x: npt.NDArray[np.float64],
    y: npt.NDArray[np.float64],
    size: tuple[int, int],
    fraction: float,
) -> npt.NDArray[np.float64]:
    """Positive inside the tissue's wavy ellipse, negative outside."""
    width, height = size
    u, v = (x - width / 2) / width, (y - height / 2) / height
    angle = np.arctan2(v, u)
    radius = np.sqrt(fraction / np.pi) * (1 + 0.06 * np.sin(5 * angle) + 0.04 * np.sin(11 * angle))
    inside: npt.NDArray[np.float64] = radius - np.hypot(u, v)
    return inside


def _place_nuclei(
    rng: np.random.Generator, width: int, height: int, mpp: float, fraction: float
) -> SyntheticTruth:
    """A jittered grid; every eighth nucleus gets a neighbour that touches it."""
    pitch = _PITCH_UM / mpp
    grid = np.stack(
        np.meshgrid(np.arange(pitch / 2, width, pitch), np.arange(pitch / 2, height, pitch)), -1
    ).reshape(-1, 2)
    xy = grid + rng.uniform(-0.28, 0.28, grid.shape) * pitch
    axes = rng.uniform((2.6, 2.2), (4.2, 3.2), grid.shape) / mpp
    angle = rng.uniform(0, 180, len(xy))
    paired = rng.random(len(xy)) < 0.125
    direction = rng.uniform(0, 2 * np.pi, len(xy))
    step = np.stack([np.cos(direction), np.sin(direction)], 1) * (2.9 / mpp * 2)
    xy = np.concatenate([xy, (xy + step)[paired]])
    axes = np.concatenate([axes, np.full((int(paired.sum()), 2), 2.9 / mpp)])
    angle = np.concatenate([angle, np.zeros(int(paired.sum()))])
    rim = 8 / mpp
    keep = _in_tissue(xy[:, 0], xy[:, 1], (width, height), fraction) > rim / max(width, height)
    keep &= ((xy > rim) & (xy < (width - rim, height - rim))).all(axis=1)
    return SyntheticTruth(xy[keep], axes[keep], angle[keep])


def _texture(rng: np.random.Generator, sigma: tuple[float, float]) -> npt.NDArray[np.float32]:
    """Smooth noise that repeats seamlessly, mean 0, deviation 1."""
    noise = rng.normal(size=(_TEXTURE_PX, _TEXTURE_PX)).astype(np.float32)
    border = 64
    wide = cv2.copyMakeBorder(noise, border, border, border, border, cv2.BORDER_WRAP)
    smooth = cv2.GaussianBlur(wide, (0, 0), sigmaX=sigma[1], sigmaY=sigma[0])
    smooth = smooth[border:-border, border:-border]
    texture: npt.NDArray[np.float32] = ((smooth - smooth.mean()) / smooth.std()).astype(np.float32)
    return texture


def _draw_strip(  # noqa: PLR0913 - one strip of one slide
    top: int,
    bottom: int,
    width: int,
    truth: SyntheticTruth,
    textures: list[npt.NDArray[np.float32]],
    fraction: float,
    height: int,
) -> npt.NDArray[np.float32]:
    """RGB of rows ``top`` to ``bottom`` before grain."""
    y = np.arange(top, bottom)
    rows, columns = y % _TEXTURE_PX, np.arange(width) % _TEXTURE_PX
    fibres, chromatin = (t[np.ix_(rows, columns)] for t in textures)
    xx, yy = np.meshgrid(np.arange(width, dtype=np.float64), y.astype(np.float64))
    tissue = np.clip(_in_tissue(xx, yy, (width, height), fraction) * width / 20 + 0.5, 0, 1)
    nuclei = np.zeros((bottom - top + 16, width), np.uint8)  # 8 rows more above and below: blur
    near = np.abs(truth.centroid_xy[:, 1] - (top + bottom) / 2) < (bottom - top) / 2 + 60
    for (x, cy), axes, angle in zip(
        truth.centroid_xy[near], truth.axes_px[near], truth.angle_deg[near], strict=True
    ):
        centre = (round(x * 16), round((cy - top + 8) * 16))
        half = (round(axes[0] * 16), round(axes[1] * 16))
        cv2.ellipse(nuclei, centre, half, angle, 0, 360, 255, -1, cv2.LINE_AA, 4)
    cover = cv2.GaussianBlur(nuclei, (0, 0), 1.0)[8:-8].astype(np.float32) / 255
    stroma = (tissue * np.clip(1 + 0.30 * fibres, 0.3, 2))[..., None] * _STROMA_OD
    nuclear = np.clip(1 + 0.16 * chromatin, 0.5, 1.6)[..., None] * _NUCLEUS_OD
    density = stroma * (1 - cover[..., None]) + nuclear * cover[..., None]
    rgb: npt.NDArray[np.float32] = (244 * 10.0**-density).astype(np.float32)
    return rgb


def write_pyramid(path: Path, pixels: npt.NDArray[np.uint8], mpp: float) -> None:
    """Write ``(H, W, 3)`` as a tiled TIFF with levels 1, 4 and 16 that says its mpp."""
    height, width = pixels.shape[:2]
    with tifffile.TiffWriter(path, bigtiff=True) as tiff:
        for factor in (1, 4, 16):
            size = (max(1, width // factor), max(1, height // factor))
            level = (
                pixels if factor == 1 else cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
            )
            tiff.write(
                level,
                photometric="rgb",
                tile=(256, 256),
                compression="jpeg",
                compressionargs={"level": 90},
                resolution=(1e4 / (mpp * factor),) * 2,
                resolutionunit="CENTIMETER",
                subfiletype=0 if factor == 1 else 1,
            )
