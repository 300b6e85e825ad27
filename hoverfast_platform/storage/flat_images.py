"""Reading flat images, and the label images that hold one nucleus id per pixel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile
from PIL import Image, UnidentifiedImageError

from hoverfast_platform.arrays import InstanceMap, RgbImage
from hoverfast_platform.errors import LabelError, UnreadableSlideError

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"})
LABEL_SUFFIXES = frozenset({".png", ".tif", ".tiff", ".npy"})


def read_rgb(path: Path) -> RgbImage:
    """An image of any mode as RGB; 16-bit is scaled by its range, alpha composed on white.

    Raises:
        UnreadableSlideError: If it is not an image.
    """
    try:
        with Image.open(path) as opened:
            image: Image.Image = opened
            if image.mode.startswith("I;16") or image.mode == "I":
                grey = np.asarray(image).astype(np.float64) / 257.0
                image = Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8))
            if "A" in image.getbands() or "transparency" in image.info:
                rgba = image.convert("RGBA")
                white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
                image = Image.alpha_composite(white, rgba)
            return np.array(image.convert("RGB"))
    except (UnidentifiedImageError, OSError) as error:
        raise UnreadableSlideError(
            f"{path} is not a readable image: {error}.", "Expected PNG, JPEG or TIFF."
        ) from error


def read_instance_map(path: Path) -> InstanceMap:
    """A label image (PNG, TIFF or NPY): 0 is background, any other value one nucleus.

    Ids may have gaps. A palette image is read by its indices, not its colours.

    Raises:
        LabelError: If it cannot be read, is in colour, or its values cannot be ids.
    """
    try:
        if path.suffix.lower() == ".npy":
            pixels = np.load(path, allow_pickle=False)
        elif path.suffix.lower() in {".tif", ".tiff"}:
            pixels = np.squeeze(tifffile.imread(path))
        else:
            with Image.open(path) as image:
                pixels = np.asarray(image)
    except (OSError, ValueError, EOFError, tifffile.TiffFileError) as error:
        raise LabelError(
            f"{path} is not a readable label image: {error}.", "Expected PNG, TIFF or NPY."
        ) from error
    if pixels.ndim != 2:
        raise LabelError(
            f"{path} has the shape {pixels.shape}; a label image has one value per pixel.",
            "Colour overlays are no labels; export the label image itself.",
        )
    if pixels.dtype.kind not in "iub" or (
        pixels.size and (pixels.min() < 0 or pixels.max() > np.iinfo(np.int32).max)
    ):
        raise LabelError(
            f"{path} holds {pixels.dtype} from {pixels.min()} to {pixels.max()}; "
            "expected whole numbers from 0 to 2147483647.",
            "Probability maps are no labels; export instance ids.",
        )
    instance_map: InstanceMap = pixels.astype(np.int32)
    return instance_map
