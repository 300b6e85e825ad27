"""Slides of many square millimetres in seconds: blocks of real tissue, compressed once, used often.

``composed_slide`` writes every pixel anew, which takes a minute for 50 mm2. Here a few hundred
blocks are compressed to JPEG once and their bytes are repeated in random order. To read, decode
and predict such a slide costs what any other of its size costs. The file is written without
tifffile, which compresses nothing where its codecs are not installed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
import numpy.typing as npt

from hoverfast_platform.arrays import RgbImage
from hoverfast_platform.errors import SettingsError
from hoverfast_platform.files import written_atomically

BLOCK_PX = 256
_COARSE = (4, 16)
_JPEG_QUALITY = 90
_MAX_BLOCKS = 256
_SHORT, _LONG, _RATIONAL, _LONG8 = 3, 4, 5, 16  # types of TIFF fields


@dataclass(frozen=True)
class QuickSlide:
    """A square slide full of tissue.

    Attributes:
        area_mm2: At least; the side is rounded up to whole blocks.
        mpp: Micrometres per pixel of the tiles and the slide.
        seed: Decides which block lies where.
    """

    area_mm2: float
    mpp: float = 0.25
    seed: int = 0

    @property
    def n_blocks(self) -> int:
        """Along a side."""
        side_px = self.area_mm2**0.5 * 1000 / self.mpp
        return max(1, -(-int(np.ceil(side_px)) // BLOCK_PX))

    @property
    def side_px(self) -> int:
        return self.n_blocks * BLOCK_PX


def write_quick_slide(path: Path, slide: QuickSlide, tiles: Sequence[RgbImage]) -> None:
    """Write a tiled pyramidal TIFF with JPEG tiles; equal arguments give equal bytes.

    Args:
        path: Ends in ``.tiff``; appears whole or not at all.
        slide: What it should be like.
        tiles: Tissue, each at least 256 px.

    Raises:
        SettingsError: If no tile is large enough.
        StorageError: If the disk is full.
    """
    rng = np.random.default_rng(slide.seed)
    blocks = _blocks(tiles)
    order = rng.integers(len(blocks), size=(slide.n_blocks, slide.n_blocks))
    compressed = [_jpeg(block) for block in blocks]
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_atomically(path) as part, part.open("wb") as file:
        file.write(struct.pack("<2sHHHQ", b"II", 43, 8, 0, 0))
        link = 8  # where the place of the next directory is written
        for factor in (1, *_COARSE):
            tiles_of_level = (
                (compressed[i] for i in order.ravel())
                if factor == 1
                else _cut(_coarse_level(blocks, order, factor))
            )
            link = _write_level(file, tiles_of_level, slide, factor, link)


def _write_level(
    file: BinaryIO, tiles: Iterator[bytes], slide: QuickSlide, factor: int, link: int
) -> int:
    """Tiles, then the BigTIFF directory that says where they are; returns where it links on."""
    offsets: list[int] = []
    sizes: list[int] = []
    for tile in tiles:
        offsets.append(file.tell())
        sizes.append(len(tile))
        file.write(tile)
    file.write(bytes(-file.tell() % 8))
    arrays_at = file.tell()
    file.write(struct.pack(f"<{2 * len(offsets)}Q", *offsets, *sizes))
    n, side = len(offsets), slide.side_px // factor
    per_cm = struct.unpack("<Q", struct.pack("<LL", round(1e7 / (slide.mpp * factor)), 1000))[0]
    entries = (
        (254, _LONG, 1, int(factor > 1)),
        (256, _LONG, 1, side),
        (257, _LONG, 1, side),
        (258, _SHORT, 3, 8 | 8 << 16 | 8 << 32),
        (259, _SHORT, 1, 7),  # JPEG
        (262, _SHORT, 1, 6),  # YCbCr
        (277, _SHORT, 1, 3),
        (282, _RATIONAL, 1, per_cm),
        (283, _RATIONAL, 1, per_cm),
        (284, _SHORT, 1, 1),
        (296, _SHORT, 1, 3),  # per centimetre
        (322, _LONG, 1, BLOCK_PX),
        (323, _LONG, 1, BLOCK_PX),
        (324, _LONG8, n, offsets[0] if n == 1 else arrays_at),
        (325, _LONG8, n, sizes[0] if n == 1 else arrays_at + 8 * n),
        (530, _SHORT, 2, 2 | 2 << 16),  # colour at half resolution
    )
    directory_at = file.tell()
    file.write(struct.pack("<Q", len(entries)))
    for entry in entries:
        file.write(struct.pack("<HHQQ", *entry))
    next_link = file.tell()
    file.write(struct.pack("<Q", 0))
    file.seek(link)
    file.write(struct.pack("<Q", directory_at))
    file.seek(0, 2)
    return next_link


def _blocks(tiles: Sequence[RgbImage]) -> list[RgbImage]:
    """Pieces of the tiles side by side, as they are and turned, at most 256."""
    pieces = [
        tile[y : y + BLOCK_PX, x : x + BLOCK_PX]
        for tile in tiles
        for y in range(0, tile.shape[0] - BLOCK_PX + 1, BLOCK_PX)
        for x in range(0, tile.shape[1] - BLOCK_PX + 1, BLOCK_PX)
    ]
    if not pieces:
        raise SettingsError(
            f"No tile has {BLOCK_PX} px on both sides.", "Give tiles of tissue at 0.25 um/px."
        )
    turned = [np.ascontiguousarray(np.rot90(piece, n)) for n in range(4) for piece in pieces]
    return turned[:_MAX_BLOCKS]


def _coarse_level(blocks: Sequence[RgbImage], order: npt.NDArray[Any], factor: int) -> RgbImage:
    """The slide shrunk, put together of shrunk blocks."""
    side = BLOCK_PX // factor
    small = np.stack([_shrunk(block, side) for block in blocks])
    n = len(order)
    level: RgbImage = small[order].transpose(0, 2, 1, 3, 4).reshape(n * side, n * side, 3)
    return level


def _shrunk(block: RgbImage, side: int) -> RgbImage:
    return np.asarray(cv2.resize(block, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


def _cut(level: RgbImage) -> Iterator[bytes]:
    """Tiles of a level in raster order, those at its end filled up with white."""
    for y in range(0, level.shape[0], BLOCK_PX):
        for x in range(0, level.shape[1], BLOCK_PX):
            piece = level[y : y + BLOCK_PX, x : x + BLOCK_PX]
            whole = np.full((BLOCK_PX, BLOCK_PX, 3), 255, np.uint8)
            whole[: piece.shape[0], : piece.shape[1]] = piece
            yield _jpeg(whole)


def _jpeg(rgb: RgbImage) -> bytes:
    """Compressed with colour at half resolution, as scanners do."""
    done, data = cv2.imencode(
        ".jpg", np.ascontiguousarray(rgb[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    )
    assert done
    return data.tobytes()
