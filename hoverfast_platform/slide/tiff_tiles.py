"""The pixels of one level of a TIFF, tile by tile, in the thread of the caller.

Nothing here waits for another thread. tifffile's own way to read a part goes through zarr, whose
event loop runs in a thread of its own and is waited for without limit: a damaged file hung there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hoverfast_platform.errors import UnreadableSlideError
from hoverfast_platform.geometry import Box
from hoverfast_platform.slide.announced_size import announced_pixels
from hoverfast_platform.slide.reader import check_tile

_JPEG = frozenset({6, 7, 34892, 33007})


class TiffTiles:
    """One level of an image, of which boxes are read.

    Args:
        path: The file, for errors.
        level: What tifffile calls a level of a series.
        axes: The level's axes: ``YX``, or these with the samples last (``YXS``) or first
            (``SYX``, ``CYX``).

    Raises:
        UnreadableSlideError: If its planes lie in other files, or a tile would fill the memory.
    """

    def __init__(self, path: Path, level: Any, axes: str) -> None:
        self._path = path
        self.shape = tuple(int(n) for n in level.shape)
        self.width, self.height = self.shape[axes.index("X")], self.shape[axes.index("Y")]
        self.n_samples = math.prod(self.shape) // max(1, self.width * self.height)
        self.dtype = np.dtype(level.dtype)
        self._keyframe = level.keyframe
        self._pages = _pages(path, level)
        tile_shape = self._keyframe.chunks
        self.tile_bytes = math.prod(tile_shape) * self.dtype.itemsize
        check_tile(path, self.tile_bytes)
        self._length, self._width = _tile_size(self._keyframe)
        samples_of_page = self._keyframe.shaped[0] * self._keyframe.shaped[4]
        if samples_of_page * len(self._pages) != self.n_samples:
            raise UnreadableSlideError(
                f"{path.name}: its directory speaks of {self.n_samples} colours and has "
                f"{samples_of_page * len(self._pages)}.",
                "The file is damaged; copy it again.",
            )

    def read(self, box: Box) -> npt.NDArray[Any]:
        """Pixels of a box that lies inside the level.

        Returns:
            ``(box.height, box.width, n_samples)``, as stored. Tiles that the file does not have
            hold the largest number there is, which is shown as white, like glass.

        Raises:
            Exception: Whatever a codec raises for damaged bytes.
        """
        glass = 1 if self.dtype.kind == "f" else np.iinfo(self.dtype).max
        out = np.full((box.height, box.width, self.n_samples), glass, self.dtype)
        n_contiguous = self._keyframe.shaped[4]
        for number, (page, base) in enumerate(self._pages):
            for index in self._indices(box):
                tile = self._tile(page, base, index)
                if tile is None:
                    continue
                pixels, (plane, _, y, x, _), _ = tile
                first = number * n_contiguous * self._keyframe.shaped[0] + plane * n_contiguous
                _paste(pixels[0], (x, y), out[..., first : first + n_contiguous], box)
        return out

    def _indices(self, box: Box) -> Iterator[int]:
        """Numbers of the tiles that the box touches, of every plane of a page."""
        across = math.ceil(self.width / self._width)
        down = math.ceil(self.height / self._length)
        for plane in range(self._keyframe.shaped[0]):
            for row in range(box.y0 // self._length, (box.y1 - 1) // self._length + 1):
                for column in range(box.x0 // self._width, (box.x1 - 1) // self._width + 1):
                    yield (plane * down + row) * across + column

    def _tile(self, page: Any, base: int, index: int) -> Any:
        """What tifffile's decoder returns for a tile; None where the file has none."""
        if index >= len(page.dataoffsets) or index >= len(page.databytecounts):
            return None  # some scanners leave out the last row
        offset, n_bytes = page.dataoffsets[index] + base, page.databytecounts[index]
        if offset == 0 or n_bytes == 0:
            return None
        data = self._bytes(page.parent.filehandle, offset, n_bytes)
        n_announced = announced_pixels(data)
        if n_announced * self.dtype.itemsize * self.n_samples > 2 * self.tile_bytes + 2**20:
            raise ValueError(f"a tile announces {n_announced:,} px")  # before memory is taken
        more = {"jpegtables": page.jpegtables, "jpegheader": self._keyframe.jpegheader}
        return self._keyframe.decode(
            data, index, **(more if self._keyframe.compression in _JPEG else {})
        )

    def _bytes(self, file: Any, offset: int, n_bytes: int) -> bytes:
        if offset + n_bytes > file.size:
            raise ValueError("a tile lies behind the end of the file")
        with file.lock:
            file.seek(offset)
            data: bytes = file.read(n_bytes)
        return data


def _pages(path: Path, level: Any) -> list[tuple[Any, int]]:
    """The directories that hold the level's planes, and what is to be added to their offsets."""
    first = level.keyframe
    n_pages = max(1, math.prod(level.shape) // max(1, first.size))
    if level.dataoffset is not None:  # one directory for planes that lie one behind the other
        return [(first, number * first.size * first.dtype.itemsize) for number in range(n_pages)]
    pages = [level[number] for number in range(n_pages)]
    if any(page is None or page.keyframe is None for page in pages) or level.is_multifile:
        raise UnreadableSlideError(
            f"{path.name}: its pixels lie in several files.",
            "A slide is known by its bytes: write it as one file, for instance with `bfconvert`.",
        )
    return [(page, 0) for page in pages]


def _tile_size(keyframe: Any) -> tuple[int, int]:
    """Rows and columns of a tile or strip."""
    if keyframe.is_tiled:
        return int(keyframe.tilelength), int(keyframe.tilewidth)
    return min(int(keyframe.rowsperstrip), int(keyframe.imagelength)), int(keyframe.imagewidth)


def _paste(
    tile: npt.NDArray[Any], corner: tuple[int, int], out: npt.NDArray[Any], box: Box
) -> None:
    """Copy the part of a tile that lies in the box."""
    x, y = corner
    part = Box.of(x=x, y=y, width=tile.shape[1], height=tile.shape[0]).clipped(box)
    out[part.y0 - box.y0 : part.y1 - box.y0, part.x0 - box.x0 : part.x1 - box.x0] = tile[
        part.y0 - y : part.y1 - y, part.x0 - x : part.x1 - x
    ]
