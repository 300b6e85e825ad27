"""A region of a slide on white ground: what lies outside the slide looks like glass."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hoverfast_platform.arrays import RgbImage
from hoverfast_platform.errors import UnreadableSlideError
from hoverfast_platform.geometry import Box


def read_on_white(
    box: Box, *, width: int, height: int, name: str, read: Callable[[Box], RgbImage]
) -> RgbImage:
    """Pixels of a region, ``(H, W, 3)``; outside the slide they are white.

    Args:
        box: The region, in pixels of the level.
        width: Of the level, pixels.
        height: Of the level, pixels.
        name: Of the slide, for errors.
        read: Returns the pixels of the part of the region that lies in the level.

    Raises:
        UnreadableSlideError: If reading fails in any way, for codecs raise whatever they like for
            damaged bytes; but for a lack of memory, which is the machine's fault.
    """
    out = np.full((box.height, box.width, 3), 255, dtype=np.uint8)
    part = box.clipped(Box.at_origin(width=width, height=height))
    if part.is_empty:
        return out
    try:
        pixels = read(part)
    except (MemoryError, UnreadableSlideError):
        raise
    except Exception as error:
        raise UnreadableSlideError(
            f"{name}: {box.width}x{box.height} px at ({box.x0}, {box.y0}) of a level of "
            f"{width}x{height} px cannot be read: {type(error).__name__}.",
            "The file is damaged there, usually by a broken copy; copy or scan it again.",
        ) from error
    out[part.y0 - box.y0 : part.y1 - box.y0, part.x0 - box.x0 : part.x1 - box.x0] = pixels
    return out
