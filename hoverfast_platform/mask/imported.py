"""Masks other programs made: finding the file for a slide, and registering it to the slide."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from hoverfast_platform.errors import MaskError
from hoverfast_platform.mask.tissue_mask import TissueMask
from hoverfast_platform.slide.reader import SlideInfo

_ASPECT_TOLERANCE_PX = 1.5
"""Mask pixels by which one side may differ from the slide's shape: both sides were rounded."""


def find_mask_file(folder: Path, slide_path: Path) -> Path:
    """The mask of a slide in a folder of masks.

    Looked for, in this order: ``<name>/<name>_mask_use.png`` (HistoQC), ``<name>_mask_use.png``,
    ``<name>.png``, ``<stem>.png`` where name includes the slide's suffix.

    Raises:
        MaskError: If there is none.
    """
    name, stem = slide_path.name, slide_path.stem
    candidates = (
        folder / name / f"{name}_mask_use.png",
        folder / f"{name}_mask_use.png",
        folder / f"{name}.png",
        folder / f"{stem}.png",
    )
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise MaskError(
        f"No mask for {name} in {folder}: looked for "
        f"{', '.join(str(c.relative_to(folder)) for c in candidates)}.",
        "Name the mask after the slide, give HistoQC's output folder, or leave the mask folder "
        "out to use the built-in tissue detection.",
    )


def load_mask(path: Path, info: SlideInfo) -> TissueMask:
    """Read a mask image and register it to a slide; anything above half grey is tissue.

    A mask stands for the slide's frame if its shape says so; HistoQC masks of slides with
    bounds show the full slide instead and are cropped to the bounds.

    Raises:
        MaskError: If it is unreadable or fits neither the frame nor the full slide.
    """
    try:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("L")) > 127
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except (OSError, UnidentifiedImageError) as error:
        raise MaskError(f"{path} is not a readable image: {error}.", "Make it anew.") from error
    height, width = pixels.shape
    frame = "bounds" if info.frame == "bounds" else "full"
    if not _same_shape(width, height, info.width, info.height):
        full_width, full_height = info.level_sizes[0]
        if not _same_shape(width, height, full_width, full_height):
            raise MaskError(
                f"{path} has {width}x{height} px, which is not the shape of {info.name} "
                f"({info.width}x{info.height} px, aspect {info.width / info.height:.4f} against "
                f"{width / height:.4f}).",
                "It belongs to another slide, or was cropped or rotated.",
            )
        pixels = _crop_to_bounds(pixels, info, full_width, full_height)
        frame = "full slide, cropped to bounds"
    return TissueMask(
        is_tissue=pixels,
        slide_width=info.width,
        slide_height=info.height,
        slide_mpp=info.mpp,
        engine="import",
        provenance={"file": path.name, "sha256": digest, "frame": frame},
    )


def _same_shape(width: int, height: int, slide_width: int, slide_height: int) -> bool:
    """Whether a mask could be the slide shrunk, each side rounded on its own."""
    scale = max(slide_width / width, slide_height / height)
    return (
        abs(width - slide_width / scale) <= _ASPECT_TOLERANCE_PX
        and abs(height - slide_height / scale) <= _ASPECT_TOLERANCE_PX
    )


def _crop_to_bounds(
    pixels: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
    info: SlideInfo,
    full_width: int,
    full_height: int,
) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """The part of a full-slide mask over the bounds, on a grid of its own by nearest pixel."""
    scale_x, scale_y = full_width / pixels.shape[1], full_height / pixels.shape[0]
    width = max(1, round(info.width / scale_x))
    height = max(1, round(info.height / scale_y))
    x = info.origin_px[0] + (np.arange(width) + 0.5) * info.width / width
    y = info.origin_px[1] + (np.arange(height) + 0.5) * info.height / height
    columns = np.clip((x / scale_x).astype(int), 0, pixels.shape[1] - 1)
    rows = np.clip((y / scale_y).astype(int), 0, pixels.shape[0] - 1)
    return pixels[np.ix_(rows, columns)]
