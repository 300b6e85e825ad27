"""Pictures of a slide, straight from its file: tiles of any zoom, thumbnail, tissue mask."""

from __future__ import annotations

import io
import math
import os
import threading
from collections import OrderedDict
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from hoverfast_platform.arrays import RgbImage
from hoverfast_platform.errors import StorageError
from hoverfast_platform.geometry import Box
from hoverfast_platform.mask.findings import COLOURS
from hoverfast_platform.mask.mask_file import read_levels, split_levels
from hoverfast_platform.slide.reader import SlideReader
from hoverfast_platform.slide.thumbnail import read_thumbnail

TILE_PX = 512
"""Side of an image tile and, at full resolution, of a vector tile."""

_QUALITY = 85
_MOST_SHRUNK = 4
"""A tile is read from a level at most so many times finer; else it is made of finer tiles."""

_KEPT_TILES = 24
_MASK_PX = 4096
_AT_ONCE = threading.BoundedSemaphore(max(2, os.cpu_count() or 2))
"""Reads of pixels at the same time: more would only take memory."""


def n_zooms(width: int, height: int) -> int:
    """How many zooms there are until the slide fits into one tile; 0 is full resolution."""
    return 1 + max(0, math.ceil(math.log2(max(width, height) / TILE_PX)))


class SlidePictures:
    """Tiles of an open slide. Safe to use from several threads.

    Zoom ``z`` has ``2**z`` level-0 pixels per pixel; tile (x, y) begins at
    ``x * 512 * 2**z`` level-0 pixels.
    """

    def __init__(self, reader: SlideReader) -> None:
        self.reader = reader
        self._kept: OrderedDict[tuple[int, int, int], RgbImage] = OrderedDict()
        self._lock = threading.Lock()

    def tile(self, z: int, x: int, y: int) -> bytes:
        """JPEG of a tile, ``512`` px square; white beyond the slide's border.

        Raises:
            StorageError: If there is no such tile.
            SlideError: If the slide cannot be read there.
        """
        info = self.reader.info
        if not 0 <= z < n_zooms(info.width, info.height) or min(x, y) < 0:
            raise StorageError(f"There is no tile {z}/{x}/{y}.", "")
        with _AT_ONCE:
            pixels = self._pixels(z, x, y)
        height, width = pixels.shape[:2]
        square = np.full((TILE_PX, TILE_PX, 3), 255, np.uint8)
        square[:height, :width] = pixels
        return encode_jpeg(square)

    def thumbnail(self, side_px: int) -> bytes:
        """JPEG of the whole slide."""
        with _AT_ONCE:
            picture = read_thumbnail(self.reader, side_px)
        shrink = max(picture.shape[:2]) / side_px
        if shrink > 1:
            size = (round(picture.shape[1] / shrink), round(picture.shape[0] / shrink))
            picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
        return encode_jpeg(picture)

    def _pixels(self, z: int, x: int, y: int) -> RgbImage:
        with self._lock:
            if (z, x, y) in self._kept:
                self._kept.move_to_end((z, x, y))
                return self._kept[z, x, y]
        info = self.reader.info
        side = TILE_PX << z
        width, height = min(side, info.width - x * side), min(side, info.height - y * side)
        if min(width, height) <= 0:
            raise StorageError(f"There is no tile {z}/{x}/{y}.", "")
        size = (max(1, round(width / (1 << z))), max(1, round(height / (1 << z))))
        fine_enough = [d for d in info.level_downsamples if max(d) <= (1 << z) * 1.01]
        downsample = max(fine_enough, default=info.level_downsamples[0])
        if (1 << z) / downsample[0] > _MOST_SHRUNK:
            pixels = self._of_finer(z, x, y, size)
        else:
            level = info.level_downsamples.index(downsample)
            left, top = x * side / downsample[0], y * side / downsample[1]
            box = Box.of(
                x=math.floor(left + 0.5),
                y=math.floor(top + 0.5),
                width=max(1, round(width / downsample[0])),
                height=max(1, round(height / downsample[1])),
            )
            pixels = self.reader.read_level(level, box)
        return self._keep((z, x, y), _shrunk(pixels, size))

    def _of_finer(self, z: int, x: int, y: int, size: tuple[int, int]) -> RgbImage:
        """A tile made of the four finer ones, where the file has no level near its scale."""
        rows = []
        for j in (2 * y, 2 * y + 1):
            row = []
            for i in (2 * x, 2 * x + 1):
                side = TILE_PX << (z - 1)
                if i * side < self.reader.info.width and j * side < self.reader.info.height:
                    row.append(self._pixels(z - 1, i, j))
            if row:
                rows.append(np.concatenate(row, axis=1))
        whole: RgbImage = np.concatenate(rows, axis=0)
        return _shrunk(whole, size)

    def _keep(self, place: tuple[int, int, int], pixels: RgbImage) -> RgbImage:
        with self._lock:
            self._kept[place] = pixels
            while len(self._kept) > _KEPT_TILES:
                self._kept.popitem(last=False)
        return pixels


def _shrunk(pixels: RgbImage, size: tuple[int, int]) -> RgbImage:
    if (pixels.shape[1], pixels.shape[0]) == size:
        return pixels
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def encode_jpeg(rgb: RgbImage) -> bytes:
    """JPEG bytes of a picture."""
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return bytes(encoded.tobytes())


def mask_picture(path: Path) -> bytes:
    """A mask file as a transparent PNG: tissue is clear, the rest is grey or has its colour.

    Raises:
        MaskError: If it cannot be read.
    """
    is_tissue, findings = split_levels(read_levels(path))
    picture = np.zeros((*is_tissue.shape, 4), np.uint8)
    picture[~is_tissue] = (40, 48, 60, 110)
    for finding, colour in COLOURS.items():
        found = findings == int(finding)
        picture[found & ~is_tissue] = (*colour, 150)
        picture[found & is_tissue] = (*colour, 70)
    image = Image.fromarray(picture)
    image.thumbnail((_MASK_PX, _MASK_PX), Image.Resampling.NEAREST)
    content = io.BytesIO()
    image.save(content, format="PNG")
    return content.getvalue()
