"""Slides of any size and tissue fraction, composed of real tiles, or of synthetic tissue."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hoverfast_platform.arrays import RgbImage
from hoverfast_platform.errors import SettingsError
from hoverfast_platform.files import written_atomically
from hoverfast_platform.geometry import Box
from hoverfast_platform.slide import open_slide
from hoverfast_platform.storage.flat_images import IMAGE_SUFFIXES, read_rgb
from hoverfast_platform.synthetic.slide import write_pyramid, write_synthetic_slide

_BLOCK_PX = 256
_GLASS = 244


@dataclass(frozen=True)
class ComposedSlide:
    """A slide to measure on.

    Attributes:
        side_px: Side of the square slide.
        tissue_fraction: Share that is tissue: whole rows of blocks from the top.
        seed: Decides which tile lies where, and how it is turned.
    """

    side_px: int
    tissue_fraction: float
    seed: int = 0

    @property
    def name(self) -> str:
        return f"{self.side_px}px-{self.tissue_fraction:.0%}".replace("%", "pct")


def read_tiles(folder: Path | None) -> list[RgbImage]:
    """Tiles of tissue at 0.25 um/px: the images of a folder, or a synthetic one.

    Raises:
        SettingsError: If the folder has no image of at least 256 px.
    """
    if folder is None:
        return [_synthetic_tile()]
    tiles = [
        read_rgb(path) for path in sorted(folder.iterdir()) if path.suffix.lower() in IMAGE_SUFFIXES
    ]
    large = [tile for tile in tiles if min(tile.shape[:2]) >= _BLOCK_PX]
    if not large:
        raise SettingsError(
            f"{folder} has no image of at least {_BLOCK_PX} px.",
            "Give tiles full of tissue at 0.25 um/px, or leave --tiles out.",
        )
    return large


def compose_slide(
    path: Path, slide: ComposedSlide, tiles: Sequence[RgbImage], mpp: float = 0.25
) -> None:
    """Write a tiled pyramidal TIFF; equal arguments give equal pixels.

    Args:
        path: Ends in ``.tiff``; appears whole or not at all.
        slide: What it should be like.
        tiles: Each at least 256 px.
        mpp: Micrometres per pixel of the tiles and the slide.

    Raises:
        SettingsError: If the side is not a multiple of 256 px.
        StorageError: If the disk is full.
    """
    if slide.side_px % _BLOCK_PX or slide.side_px <= 0:
        raise SettingsError(f"The side must be a multiple of {_BLOCK_PX}, got {slide.side_px}.")
    rng = np.random.default_rng(slide.seed)
    n_rows = slide.side_px // _BLOCK_PX
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        shape = (slide.side_px, slide.side_px, 3)
        pixels = np.memmap(Path(scratch) / "pixels", np.uint8, "w+", shape=shape)
        for row in range(n_rows):
            strip = pixels[row * _BLOCK_PX : (row + 1) * _BLOCK_PX]
            strip[:] = np.clip(rng.normal(_GLASS, 1.5, strip.shape), 0, 255)
            if row < round(slide.tissue_fraction * n_rows):
                for x0 in range(0, slide.side_px, _BLOCK_PX):
                    strip[:, x0 : x0 + _BLOCK_PX] = _block(tiles, rng)
        with written_atomically(path) as part:
            write_pyramid(part, pixels, mpp)
        del pixels


def _block(tiles: Sequence[RgbImage], rng: np.random.Generator) -> RgbImage:
    """A random piece of a random tile, turned and mirrored."""
    tile = tiles[int(rng.integers(len(tiles)))]
    y0, x0 = (int(rng.integers(0, side - _BLOCK_PX + 1)) for side in tile.shape[:2])
    piece = np.rot90(tile[y0 : y0 + _BLOCK_PX, x0 : x0 + _BLOCK_PX], int(rng.integers(4)))
    return piece[:, ::-1] if rng.random() < 0.5 else piece


def _synthetic_tile() -> RgbImage:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "synthetic.tiff"
        write_synthetic_slide(path, width_px=2048, height_px=2048, tissue_fraction=0.78)
        with open_slide(path) as reader:
            return reader.read_level(0, Box.of(x=512, y=512, width=1024, height=1024))
