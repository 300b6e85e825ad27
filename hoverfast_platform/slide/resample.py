"""Reading any box of a slide's model lattice: level choice, resampling, and the slide's border.

The value of a model pixel is a function of its place on the slide alone, so that neighbouring
regions agree where they overlap; that is what makes nuclei independent of the tile size.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from hoverfast_platform.arrays import RgbImage
from hoverfast_platform.config import Scale
from hoverfast_platform.errors import UnsupportedScaleError
from hoverfast_platform.geometry import Box, ModelLattice
from hoverfast_platform.slide.reader import SlideInfo, SlideReader

_LEVEL_TOLERANCE = 1.01
"""A level up to 1 % coarser than the model counts as fine enough."""


def check_scale(info: SlideInfo, model_mpp: float, scale: Scale) -> tuple[str, ...]:
    """Warnings to record about the slide's scale.

    Raises:
        UnsupportedScaleError: If it is coarser than ``max_upsampling`` times the model's mpp.
    """
    coarsest = max(info.mpp.x, info.mpp.y)
    factor = coarsest / model_mpp
    if factor > scale.max_upsampling:
        raise UnsupportedScaleError(
            f"{info.name} has {coarsest:.4g} micrometres per pixel, {factor:.2g} times the "
            f"model's {model_mpp:.4g}; at most {scale.max_upsampling:.2g} times is accepted.",
            "Nuclei would be a few pixels wide. Use a scan at higher magnification, or raise "
            "--max-upsampling if you accept that.",
        )
    warnings: list[str] = [*info.notes]
    if factor > 1.1:
        warnings.append(
            f"Upsampled {factor:.2f}x: the slide has {coarsest:.4g} um/px, the model was trained "
            f"at {model_mpp:.4g}. Outlines are smoother and small nuclei less certain."
        )
    if abs(info.mpp.x / info.mpp.y - 1) > 0.01:
        warnings.append(f"Pixels are not square: {info.mpp.x:.4g} x {info.mpp.y:.4g} um.")
    if info.mpp_source == "override" and info.vendor != "array":  # images in memory never say
        warnings.append(f"mpp {info.mpp.x:.4g} was given by hand and not read from the file.")
    return tuple(warnings)


def read_region_at(reader: SlideReader, lattice: ModelLattice, box: Box) -> RgbImage:
    """Pixels of ``box`` of the model lattice.

    Args:
        reader: The slide.
        lattice: Its model lattice.
        box: Model pixels; may leave the slide, whose pixels are then mirrored at its border,
            so that the network sees tissue-like context instead of an edge.

    Returns:
        ``(box.height, box.width, 3)`` RGB.

    Raises:
        UnreadableSlideError: If the file is damaged there.
    """
    level = _choose_level(reader.info, lattice)
    # Model pixels to pixels of the level, each axis on its own.
    to_level_x = lattice.scale_x / reader.info.level_downsamples[level][0]
    to_level_y = lattice.scale_y / reader.info.level_downsamples[level][1]
    columns = _mirrored(np.arange(box.x0, box.x1), lattice.width_px)
    rows = _mirrored(np.arange(box.y0, box.y1), lattice.height_px)
    inside = Box(
        x0=int(columns.min()),
        y0=int(rows.min()),
        x1=int(columns.max()) + 1,
        y1=int(rows.max()) + 1,
    )
    rgb = _read_inside(reader, level, inside, (to_level_x, to_level_y))
    if inside == box:
        return rgb
    out: RgbImage = rgb[rows - inside.y0][:, columns - inside.x0]
    return out


def _choose_level(info: SlideInfo, lattice: ModelLattice) -> int:
    """The coarsest level at least as fine as the lattice; level 0 if none is."""
    fine_enough = [
        level
        for level, (x, y) in enumerate(info.level_downsamples)
        if x <= lattice.scale_x * _LEVEL_TOLERANCE and y <= lattice.scale_y * _LEVEL_TOLERANCE
    ]
    return max(fine_enough, key=lambda level: info.level_downsamples[level][0], default=0)


def _read_inside(
    reader: SlideReader, level: int, box: Box, to_level: tuple[float, float]
) -> RgbImage:
    """``box`` of the lattice, all of it inside the slide."""
    if all(abs(factor - 1) < 1e-9 for factor in to_level):
        return reader.read_level(level, box)
    # Where a model pixel spans several level pixels, these are averaged first, on a grid that
    # starts at the level's origin and so is the same for every region.
    blocks = tuple(max(1, math.floor(factor * _LEVEL_TOLERANCE)) for factor in to_level)
    x = _sample_positions(box.x0, box.x1, to_level[0] / blocks[0])
    y = _sample_positions(box.y0, box.y1, to_level[1] / blocks[1])
    source = Box(
        x0=math.floor(x[0]) - 1,
        y0=math.floor(y[0]) - 1,
        x1=math.floor(x[-1]) + 3,
        y1=math.floor(y[-1]) + 3,
    )
    size = _level_size(reader.info, level)
    whole = Box.at_origin(width=-(-size[0] // blocks[0]), height=-(-size[1] // blocks[1]))
    within = source.clipped(whole)
    pixels = reader.read_level(
        level,
        Box(
            x0=within.x0 * blocks[0],
            y0=within.y0 * blocks[1],
            x1=within.x1 * blocks[0],
            y1=within.y1 * blocks[1],
        ),
    )
    if blocks != (1, 1):
        pixels = cv2.resize(pixels, (within.width, within.height), interpolation=cv2.INTER_AREA)
    map_x, map_y = np.meshgrid(
        (x - within.x0).astype(np.float32), (y - within.y0).astype(np.float32)
    )
    sampled: RgbImage = cv2.remap(
        pixels, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return sampled


def _sample_positions(start: int, stop: int, factor: float) -> npt.NDArray[np.float64]:
    """Positions of model pixels' centres, in source pixels with 0 at the first pixel's centre.

    Rounded to the 1/32 px that OpenCV interpolates with: it would round after the region's
    corner was taken off, and neighbouring regions would disagree now and then.
    """
    return np.round(((np.arange(start, stop) + 0.5) * factor - 0.5) * 32) / 32


def _level_size(info: SlideInfo, level: int) -> tuple[int, int]:
    """(width, height) of the frame at a level, the last pixel perhaps partly outside."""
    x, y = info.level_downsamples[level]
    return math.ceil(info.width / x - 1e-6), math.ceil(info.height / y - 1e-6)


def _mirrored(positions: npt.NDArray[np.int64], length: int) -> npt.NDArray[np.int64]:
    """Positions reflected into 0..length-1 without repeating the border pixel."""
    if length == 1:
        return np.zeros_like(positions)
    period = 2 * (length - 1)
    folded = np.mod(positions, period)
    return np.where(folded < length, folded, period - folded)
