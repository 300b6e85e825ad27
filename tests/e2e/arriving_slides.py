"""Small real slides, written as a scanner would: a crop of a real one as a tiled TIFF."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openslide
import tifffile

_WITH_TISSUE = ((1100, 1500), (900, 2100), (900, 300))
"""Places (level-0 pixels) of the skin slide at which there is tissue."""


def write_crop(source: Path, number: int, path: Path, *, side_px: int = 256) -> Path:
    """The crop of that number at 0.499 um per pixel, as the skin slide has it."""
    with openslide.OpenSlide(source) as slide:
        region = slide.read_region(_WITH_TISSUE[number], 0, (side_px, side_px))
    tifffile.imwrite(
        path,
        np.asarray(region.convert("RGB")),
        photometric="rgb",
        tile=(128, 128),
        compression="jpeg",
        resolution=(1e4 / 0.499, 1e4 / 0.499),
        resolutionunit="CENTIMETER",
    )
    return path
