"""Laying a mask of another program on the slide: which part of it the mask shows, at what scale.

The scale is the ratio of two sizes, in x and y apart, checked from both sides; it is never
rounded, and never taken from a program's word alone.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from hoverfast_platform.errors import MaskError
from hoverfast_platform.geometry import Box
from hoverfast_platform.slide.reader import SlideInfo

Frame: TypeAlias = Literal["auto", "full", "bounds"]

_TOLERANCE_PX = 1.5
"""Mask pixels by which a side may differ from the slide's shape: both sides were rounded."""


def mask_box(
    name: str, size: tuple[int, int], info: SlideInfo, frame: Frame = "auto", box: Box | None = None
) -> Box:
    """The part of the slide a mask shows, in the file's full level-0 pixels.

    Args:
        name: Name of the mask, for messages.
        size: (width, height) of the mask, pixels.
        info: The slide.
        frame: What it shows, if the user knows; ``auto`` goes by the shape.
        box: What the program that made it says it shows.

    Raises:
        MaskError: If the shape fits neither the whole slide nor its bounds, or fits both and
            nobody says which, or is not the shape of what it is said to show.
    """
    bounds = Box.of(x=info.origin_px[0], y=info.origin_px[1], width=info.width, height=info.height)
    full = bounds
    if info.level_sizes:
        full_width, full_height = info.level_sizes[0]
        full = Box.at_origin(width=full_width, height=full_height)
    candidates = {"full": full, "bounds": bounds}
    if frame != "auto":
        candidates = {frame: candidates[frame]}
    elif box is not None:
        if box not in (full, bounds):
            raise MaskError(
                f"{name} is said to show {box.width}x{box.height} px of level 0 at "
                f"({box.x0}, {box.y0}); {info.name} has {full.width}x{full.height} px.",
                "It belongs to another slide of this name.",
            )
        candidates = {"stated": box}
    fitting = {shown for shown in candidates.values() if _same_shape(size, shown)}
    if not fitting:
        raise MaskError(_misfit(name, size, info), _misfit_remedy(size, info))
    if len(fitting) > 1:
        raise MaskError(
            f"{name} ({size[0]}x{size[1]} px) has the shape of both the whole of {info.name} "
            f"({full.width}x{full.height} px) and its scanned bounds "
            f"({bounds.width}x{bounds.height} px).",
            "Say which it shows: frame full or bounds.",
        )
    return fitting.pop()


def cut_to_frame(pixels: npt.NDArray[Any], shown: Box, info: SlideInfo) -> npt.NDArray[Any]:
    """The part of mask pixels that covers the slide's frame, by nearest pixel.

    Args:
        pixels: ``(H, W)``, covering ``shown``.
        shown: Full level-0 pixels.
        info: The slide; its frame lies inside ``shown``.
    """
    if (shown.width, shown.height) == (info.width, info.height):
        return pixels
    height, width = pixels.shape
    scale_x, scale_y = shown.width / width, shown.height / height
    n_columns = max(1, round(info.width / scale_x))
    n_rows = max(1, round(info.height / scale_y))
    x = info.origin_px[0] - shown.x0 + (np.arange(n_columns) + 0.5) * info.width / n_columns
    y = info.origin_px[1] - shown.y0 + (np.arange(n_rows) + 0.5) * info.height / n_rows
    columns = np.clip((x / scale_x).astype(int), 0, width - 1)
    rows = np.clip((y / scale_y).astype(int), 0, height - 1)
    return pixels[np.ix_(rows, columns)]


def _same_shape(size: tuple[int, int], shown: Box) -> bool:
    """Whether a mask could be this part of a slide shrunk, each side rounded on its own."""
    width, height = size
    scale = max(shown.width / width, shown.height / height)
    return (
        abs(width - shown.width / scale) <= _TOLERANCE_PX
        and abs(height - shown.height / scale) <= _TOLERANCE_PX
    )


def _misfit(name: str, size: tuple[int, int], info: SlideInfo) -> str:
    width, height = size
    return (
        f"{name} has {width}x{height} px, which is not the shape of {info.name} "
        f"({info.width}x{info.height} px, aspect {info.width / info.height:.4f} against "
        f"{width / height:.4f})."
    )


def _misfit_remedy(size: tuple[int, int], info: SlideInfo) -> str:
    turned = Box.at_origin(width=info.height, height=info.width)
    if _same_shape(size, turned):
        return "It is turned by 90 degrees; turn it back."
    return "It belongs to another slide, or was cropped."
