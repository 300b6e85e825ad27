"""What the pixels of another program's mask mean: palettes, alpha, colours, 1 to 32 bits.

The rules, in their order: transparent is not tissue; a colour table of colours is read by its
indices, one of greys by its greys; one colour on black or white is tissue; of greys the bright
half is tissue, or all above 0 where the levels are 0 and 1. What fits no rule is refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from hoverfast_platform.arrays import TissuePixels
from hoverfast_platform.errors import MaskError
from hoverfast_platform.mask.mask_file import opened_image

_CHROMA = 60
"""Difference between the channels from which a pixel is coloured; JPEG makes up to 40 at edges."""
_COLOURED_SHARE = 0.002
_HUE_SHARE = 0.03
_HUE_BINS = 12


def read_foreign_tissue(path: Path, tissue_levels: tuple[int, ...] = ()) -> TissuePixels:
    """``(H, W)``, True where the image says tissue; all False where it says there is none.

    Args:
        path: The image.
        tissue_levels: Grey levels, or indices of a colour table, that are tissue.

    Raises:
        MaskError: If it is not a readable image, or its colours leave a guess.
    """
    with opened_image(path) as image:
        _refuse_several(path, image)
        opaque = _opaque(image)
        if tissue_levels:
            levels = np.asarray(image if image.mode == "P" else image.convert("L"))
            return np.isin(levels, tissue_levels) & opaque
        if not opaque.all() and _is_one_colour(image, opaque):
            return opaque
        return _bright(path, image) & opaque


def _refuse_several(path: Path, image: Image.Image) -> None:
    """Further pages of a TIFF may be smaller levels, never further masks."""
    if getattr(image, "n_frames", 1) == 1:
        return
    size = image.size
    image.seek(1)
    if image.size == size:
        raise MaskError(
            f"{path} holds {getattr(image, 'n_frames', 2)} images, and nobody says which is the "
            "mask.",
            "Save the one that is, alone.",
        )
    image.seek(0)


def _opaque(image: Image.Image) -> TissuePixels:
    """``(H, W)``, False where transparent; all True without alpha."""
    if "A" not in image.getbands() and "transparency" not in image.info:
        return np.ones((image.height, image.width), dtype=np.bool_)
    alpha = np.asarray(image.convert("RGBA"))[..., 3]
    opaque: TissuePixels = alpha > int(alpha.max()) // 2
    return opaque


def _is_one_colour(image: Image.Image, opaque: TissuePixels) -> bool:
    """Whether the shape is in the alpha alone."""
    colours = np.asarray(image.convert("RGBA"))[..., :3][opaque]
    return not len(colours) or int(np.ptp(colours.astype(np.int16), axis=0).max()) < _CHROMA


def _bright(path: Path, image: Image.Image) -> TissuePixels:
    if image.mode in {"P", "PA"}:
        indices = np.asarray(image.getchannel(0))
        palette = np.asarray(image.convert("RGB"), dtype=np.int16)
        if np.ptp(palette, axis=2).max(initial=0) >= _CHROMA:
            return _by_index(path, indices)
        return _by_level(path, palette[..., 0])
    if image.mode == "F":
        return _by_level(path, np.asarray(image))
    if image.mode.startswith("I"):
        return _by_level(path, np.asarray(image))
    rgb = np.asarray(image.convert("RGB"), dtype=np.int16)
    coloured = np.ptp(rgb, axis=2) >= _CHROMA
    if coloured.mean() > _COLOURED_SHARE:
        return _by_colour(path, rgb, coloured)
    return _by_level(path, np.asarray(image.convert("L")))


def _by_index(path: Path, indices: npt.NDArray[Any]) -> TissuePixels:
    used = np.unique(indices)
    if len(used) > 2 or (len(used) == 2 and used[0] != 0):
        raise MaskError(
            f"{path} has a colour table and {len(used)} classes ({_listed(used)}).",
            "Say which are tissue: tissue_levels in the settings of masks.",
        )
    tissue: TissuePixels = indices > 0
    return tissue


def _by_level(path: Path, levels: npt.NDArray[Any]) -> TissuePixels:
    top = float(levels.max())
    if not np.isfinite(top) or levels.min() < 0:
        raise MaskError(
            f"{path} has levels from {levels.min()} to {top}.",
            "A mask has levels of 0 and more; say which are tissue: tissue_levels.",
        )
    if levels.dtype.kind == "f":
        half = 0.5 if top <= 1 else top / 2
    elif top <= 1:
        half = 0.0
    elif top > 255:  # 16 bits
        half = top / 2
    else:
        half = 127.0
    tissue: TissuePixels = levels > half
    if not tissue.any() and top > 0:
        raise MaskError(
            f"{path.name} has no tissue in it. Its brightest level is {top:g}.",
            "If it is a class map, say which levels are tissue: tissue_levels.",
        )
    return tissue


def _by_colour(path: Path, rgb: npt.NDArray[np.int16], coloured: TissuePixels) -> TissuePixels:
    grey = rgb[~coloured].mean(axis=1)
    is_dark, is_bright = (grey < 64).mean(), (grey > 192).mean()
    if len(grey) and max(is_dark, is_bright) < 0.97:
        raise MaskError(
            f"{path} is a picture in colour and grey, not a mask.",
            "Save the mask alone: tissue white, everything else black.",
        )
    n_hues = _number_of_hues(rgb[coloured])
    if n_hues > 1 or not len(grey):
        raise MaskError(
            f"{path} has {max(n_hues, 2)} colours or more, and nobody says which are tissue.",
            "Save it with tissue white and everything else black.",
        )
    return coloured


def _number_of_hues(rgb: npt.NDArray[np.int16]) -> int:
    """How many colours there are, neighbours on the circle of hues taken as one."""
    strong = rgb[np.ptp(rgb, axis=1) >= np.ptp(rgb, axis=1).max() // 2].astype(np.float64)
    red, green, blue = strong.T
    hue = np.arctan2(np.sqrt(3) * (green - blue), 2 * red - green - blue) / (2 * np.pi) % 1
    counts = np.bincount((hue * _HUE_BINS).astype(int) % _HUE_BINS, minlength=_HUE_BINS)
    is_used = counts > _HUE_SHARE * len(strong)
    return int((is_used & ~np.roll(is_used, 1)).sum()) or 1


def _listed(values: npt.NDArray[Any]) -> str:
    return ", ".join(map(str, values[:8])) + (" ..." if len(values) > 8 else "")
