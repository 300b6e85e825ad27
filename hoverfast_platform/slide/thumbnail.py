"""The whole slide at low resolution, in bounded memory also where there is no pyramid."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

from hoverfast_platform.arrays import RgbImage
from hoverfast_platform.cores import available_cores
from hoverfast_platform.errors import UnreadableSlideError
from hoverfast_platform.geometry import Box
from hoverfast_platform.slide.reader import SlideReader

_STRIP_PIXELS = 16_000_000
"""Read at once: 64 MB of RGBA."""

_BAND_ROWS = 512
"""Rows that one thread reads at a time. The same on every machine: where a level's scale is not a
whole number, its rows depend by a fraction of a pixel on where reading begins."""
_MOST_THREADS = 6

_MAX_READ_PIXELS = 20_000_000_000
"""Reading so many takes five minutes. Scanners' slides have a level of less than a gigapixel."""

_MAX_KEPT_PIXELS = 400_000_000
"""The largest slides of brains, 150 by 100 mm, have 235 million at 8 um."""

_LEVEL_TOLERANCE = 1.01
"""A level up to 1 % coarser than asked for counts as fine enough."""


def read_thumbnail(reader: SlideReader, max_side_px: int) -> RgbImage:
    """The frame with its longer side at most ``max_side_px``, area averaged, never enlarged.

    It has the size of a level where one makes it at least half as large: a little larger could
    mean to read sixteen times the pixels.
    """
    longest = max(reader.info.width, reader.info.height)
    downsample = max(1.0, longest / max_side_px)
    levels = [max(xy) for xy in reader.info.level_downsamples]
    fitting = [level for level in levels if downsample <= level <= 2 * downsample]
    return read_at_downsample(reader, min(fitting, default=downsample))


def read_at_downsample(reader: SlideReader, downsample: float) -> RgbImage:
    """The frame with about ``downsample`` level-0 pixels per pixel, at least one pixel.

    Both sides are rounded on their own, so the exact scale is the ratio of the sizes.

    Raises:
        UnreadableSlideError: If it would take hours, or more memory than there is.
    """
    info = reader.info
    width = max(1, round(info.width / downsample))
    height = max(1, round(info.height / downsample))
    refuse_endless(reader, width, height, n_kept=width * height)
    out = np.empty((height, width, 3), dtype=np.uint8)
    for top, strip in read_strips(reader, width, height):
        out[top : top + len(strip)] = strip
    return out


def read_strips(
    reader: SlideReader, width: int, height: int, *, n_rows_unit: int = 1
) -> Iterator[tuple[int, RgbImage]]:
    """The frame shrunk to a size, as strips of rows from top to bottom, with their first row.

    Each strip is area averaged on its own, from the coarsest level that is fine enough.

    Args:
        reader: The slide.
        width: Width of the shrunk frame, pixels.
        height: Height of the shrunk frame, pixels.
        n_rows_unit: Strips have a multiple of so many rows; ``height`` must be one, too.
    """
    level, level_width, level_height = _level_for(reader, width, height)
    per_row = level_height / height
    n_rows = math.floor(_STRIP_PIXELS / (level_width * per_row)) // n_rows_unit * n_rows_unit
    n_rows = max(n_rows_unit, min(height, n_rows))
    for top in range(0, height, n_rows):
        bottom = min(height, top + n_rows)
        y0, y1 = round(top * per_row), max(round(bottom * per_row), round(top * per_row) + 1)
        strip = _read_in_bands(reader, level, Box(x0=0, y0=y0, x1=level_width, y1=y1))
        shrunk: RgbImage = cv2.resize(  # type: ignore[assignment] # cv2's stubs say Mat
            strip, (width, bottom - top), interpolation=cv2.INTER_AREA
        )
        yield top, shrunk


def _read_in_bands(reader: SlideReader, level: int, box: Box) -> RgbImage:
    """Pixels of a box, read by several threads: a slide waits for its thumbnail."""
    tops = range(box.y0, box.y1, _BAND_ROWS)
    bands = [Box(x0=box.x0, y0=top, x1=box.x1, y1=min(top + _BAND_ROWS, box.y1)) for top in tops]
    n_threads = min(_MOST_THREADS, available_cores(), len(bands))
    with ThreadPoolExecutor(n_threads, thread_name_prefix="thumbnail") as threads:
        return np.concatenate(list(threads.map(lambda band: reader.read_level(level, band), bands)))


def refuse_endless(reader: SlideReader, width: int, height: int, *, n_kept: int) -> None:
    """Refuse to shrink a slide that only its header makes so large: some bytes announce any size.

    Args:
        reader: The slide.
        width: Width of the shrunk frame that is read.
        height: Height of the shrunk frame that is read.
        n_kept: Pixels that are kept of it.

    Raises:
        UnreadableSlideError: If it would take hours, or more memory than there is.
    """
    _, level_width, level_height = _level_for(reader, width, height)
    n_read = level_width * level_height
    if n_read <= _MAX_READ_PIXELS and n_kept <= _MAX_KEPT_PIXELS:
        return
    info = reader.info
    raise UnreadableSlideError(
        f"{info.name} announces {info.width:,} x {info.height:,} px, {info.area_mm2:,.0f} mm2, and "
        f"{n_read / 1e9:,.1f} gigapixels would be read to see all of it.",
        "If it is whole, give it smaller levels: `vips tiffsave --tile --pyramid --bigtiff`.",
    )


def _level_for(reader: SlideReader, width: int, height: int) -> tuple[int, int, int]:
    """The coarsest level that is fine enough for a frame of a size, with its own size."""
    info = reader.info
    downsample = min(info.width / width, info.height / height)
    candidates = [
        level
        for level, xy in enumerate(info.level_downsamples)
        if max(xy) <= downsample * _LEVEL_TOLERANCE
    ]
    level = max(candidates, key=lambda i: info.level_downsamples[i][0], default=0)
    level_width = max(1, round(info.width / info.level_downsamples[level][0]))
    level_height = max(1, round(info.height / info.level_downsamples[level][1]))
    return level, level_width, level_height
