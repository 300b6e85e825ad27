"""Writing an open slide as a TIFF of its own: tiled, in levels, without loss."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import tifffile

from hoverfast_platform.errors import SettingsError
from hoverfast_platform.files import reporting_storage, scratch_folder, written_atomically
from hoverfast_platform.geometry import Box
from hoverfast_platform.slide.reader import SlideReader

_TILE_PX = 512
_SMALLEST_PX = 1024


def write_slide(reader: SlideReader, target: Path) -> None:
    """Write the finest level as it is, and levels of half the size each, by the mean of four.

    Memory holds one row of tiles; a scratch file beside the target holds a level at a time.

    Args:
        reader: The slide.
        target: Ends in .tif or .tiff; appears whole or not at all.

    Raises:
        SettingsError: If the target is there already, or has another ending.
        StorageError: If the disk is full.
        UnreadableSlideError: If the slide is damaged somewhere.
    """
    if target.suffix.lower() not in {".tif", ".tiff"}:
        raise SettingsError(f"{target} should end in .tif or .tiff.")
    if target.exists():
        raise SettingsError(f"{target} is there already.", "Give another name, or remove it.")
    with reporting_storage(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with (
            scratch_folder(target.parent) as scratch,
            written_atomically(target) as part,
            tifffile.TiffWriter(part, bigtiff=True) as tiff,
        ):
            _write_levels(reader, tiff, scratch)


def _write_levels(reader: SlideReader, tiff: tifffile.TiffWriter, scratch: Path) -> None:
    width, height = reader.info.width, reader.info.height
    mpp = reader.info.mpp
    rows: Iterator[npt.NDArray[np.uint8]] = (
        reader.read_level(0, Box.of(x=0, y=y, width=width, height=min(_TILE_PX, height - y)))
        for y in range(0, height, _TILE_PX)
    )
    factor = 1
    while True:
        half = np.memmap(
            scratch / f"{factor}.raw",
            np.uint8,
            "w+",
            shape=(max(1, height // 2), max(1, width // 2), 3),
        )
        tiff.write(
            _tiles(rows, half, width),
            shape=(height, width, 3),
            dtype=np.uint8,
            photometric="rgb",
            tile=(_TILE_PX, _TILE_PX),
            compression="zlib",
            predictor=True,
            resolution=(1e4 / (mpp.x * factor), 1e4 / (mpp.y * factor)),
            resolutionunit="CENTIMETER",
            subfiletype=0 if factor == 1 else 1,
            metadata=None,
        )
        if max(width, height) <= _SMALLEST_PX:
            return
        height, width = half.shape[:2]
        rows = _rows(half)
        factor *= 2


def _rows(level: npt.NDArray[np.uint8]) -> Iterator[npt.NDArray[np.uint8]]:
    for y in range(0, len(level), _TILE_PX):
        yield level[y : y + _TILE_PX]


def _tiles(
    rows: Iterator[npt.NDArray[np.uint8]], half: npt.NDArray[np.uint8], width: int
) -> Iterator[npt.NDArray[np.uint8]]:
    """The tiles of a level, row by row; the level of half the size is filled on the way."""
    y = 0
    for row in rows:
        n_half = min(len(row) // 2, len(half) - y)
        if n_half:
            small = cv2.resize(
                np.ascontiguousarray(row[: 2 * n_half, : 2 * half.shape[1]]),
                (half.shape[1], n_half),
                interpolation=cv2.INTER_AREA,
            )
            half[y : y + n_half] = small
            y += n_half
        for x in range(0, width, _TILE_PX):
            tile = np.full((_TILE_PX, _TILE_PX, 3), 255, dtype=np.uint8)
            piece = row[:, x : x + _TILE_PX]
            tile[: piece.shape[0], : piece.shape[1]] = piece
            yield tile
