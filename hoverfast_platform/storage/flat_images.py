"""Reading flat images, and the label images that hold one nucleus id per pixel."""

from __future__ import annotations

import struct
import tokenize
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image

from hoverfast_platform.arrays import InstanceMap, RgbImage
from hoverfast_platform.bit_depth import white_level
from hoverfast_platform.errors import LabelError, UnreadableSlideError
from hoverfast_platform.slide.completeness import check_is_file
from hoverfast_platform.slide.reader import GREY_NOTE
from hoverfast_platform.stand_ins import refuse_stand_in
from hoverfast_platform.storage.coloured_labels import ids_of_colours
from hoverfast_platform.storage.limits import MAX_FLAT_PIXELS, check_pixels

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"})
LABEL_SUFFIXES = frozenset({".png", ".tif", ".tiff", ".npy", ".mat"})


_DAMAGE: tuple[type[Exception], ...] = (
    OSError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RuntimeError,  # what codecs say of damaged data
    SyntaxError,  # what PIL and NumPy's reader of headers say
    struct.error,
    tokenize.TokenError,
    tifffile.TiffFileError,
    Image.DecompressionBombError,
)
"""What the libraries raise for damaged images; found by trying damaged ones."""


def list_images(folder: Path) -> list[Path]:
    """Images directly in a folder, by name; names that start with a dot are left out."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    )


@dataclass(frozen=True)
class FlatImage:
    """An image as it was read.

    Attributes:
        rgb: Its pixels.
        notes: How they were understood, where a person should know.
    """

    rgb: RgbImage
    notes: tuple[str, ...] = ()


def read_rgb(path: Path) -> RgbImage:
    """The pixels of an image, see :func:`read_flat_image`.

    Raises:
        UnreadableSlideError: If it is not an image, or not one in grey or colour.
    """
    return read_flat_image(path).rgb


def read_flat_image(path: Path) -> FlatImage:
    """An image of any mode as RGB; alpha composed on white.

    More than 8 bits are scaled by the smallest usual range that holds the brightest value: cameras
    of 12 bits are kept in 16.

    Raises:
        UnreadableSlideError: If it is not an image, or not one in grey or colour.
    """
    try:
        check_is_file(path)
        if path.suffix.lower() in {".tif", ".tiff"}:
            _refuse_several(path)
            if _is_deep_colour(path):
                return _read_tiff(path)
        with Image.open(path) as opened:
            return _rgb_of(opened, path)
    except UnreadableSlideError:
        raise
    except _DAMAGE as error:
        refuse_stand_in(path, "an image", UnreadableSlideError)
        raise _unreadable(path, str(error)) from error


def _refuse_several(path: Path) -> None:
    """Further pages of a TIFF may be smaller levels; of the same size they are other images."""
    try:
        with tifffile.TiffFile(path) as file:
            n_pages = len(file.pages)
            is_several = n_pages > 1 and file.pages[1].shape == file.pages[0].shape
    except tifffile.TiffFileError:
        return  # not a TIFF, whatever its name: PIL decides
    if is_several:
        raise UnreadableSlideError(
            f"{path} holds {n_pages} images or planes of one size, and one is expected.",
            "Save each as a file of its own, and planes of colour as one RGB image.",
        )


def _is_deep_colour(path: Path) -> bool:
    """Whether a TIFF has 16-bit colour: PIL refuses it, or mixes up its pixels."""
    try:
        with tifffile.TiffFile(path) as file:
            page = file.pages.first
            return page.samplesperpixel > 1 and page.bitspersample > 8
    except tifffile.TiffFileError:
        return False  # not a TIFF, whatever its name: PIL decides


def _rgb_of(opened: Image.Image, path: Path) -> FlatImage:
    image = opened
    if image.mode.startswith("I"):
        return _eight_bit(np.asarray(image), path)
    if image.mode == "F":
        raise _unreadable(path, "its pixels are floating point numbers")
    if "A" in image.getbands() or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, rgba)
    return _noted(np.array(image.convert("RGB")))


def _read_tiff(path: Path) -> FlatImage:
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        check_pixels(page.imagewidth, page.imagelength)
        pixels = page.asarray()
        planes_first = page.planarconfig == tifffile.PLANARCONFIG.SEPARATE
    if planes_first and pixels.ndim == 3:
        pixels = np.moveaxis(pixels, 0, -1)
    return _eight_bit(pixels, path)


def _eight_bit(pixels: npt.NDArray[Any], path: Path) -> FlatImage:
    """Grey, RGB or RGBA of 8 or 16 bits as RGB; alpha composed on white."""
    if pixels.dtype == np.int32:  # how PIL holds 16 bits of some formats
        pixels = np.clip(pixels, 0, 65535).astype(np.uint16)
    if pixels.dtype not in (np.uint8, np.uint16):
        raise _unreadable(path, f"its pixels are {pixels.dtype}")
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3, 4):
        raise _unreadable(path, f"its shape is {pixels.shape}")
    white = white_level("u", float(pixels[..., :3].max(initial=0))) or 65535.0
    notes = () if white in (255.0, 65535.0) else (f"Its values were scaled: {white:g} is white.",)
    scaled = pixels.astype(np.float32) / np.float32(white)
    if scaled.shape[2] == 4:
        alpha = pixels[..., 3:] / np.float32(np.iinfo(pixels.dtype).max)
        scaled = scaled[..., :3] * alpha + (1 - alpha)
    rgb = np.broadcast_to(np.round(scaled * 255).astype(np.uint8), (*scaled.shape[:2], 3))
    return _noted(np.ascontiguousarray(rgb), notes)


def _noted(rgb: RgbImage, notes: tuple[str, ...] = ()) -> FlatImage:
    is_grey = bool((rgb[..., 0] == rgb[..., 1]).all() and (rgb[..., 1] == rgb[..., 2]).all())
    return FlatImage(rgb, (*notes, GREY_NOTE) if is_grey else notes)


def _unreadable(path: Path, why: str) -> UnreadableSlideError:
    return UnreadableSlideError(
        f"{path} is not a readable image: {why}.",
        "Expected PNG, JPEG or TIFF, grey, palette, RGB or RGBA, of 8 or 16 bits; images beyond "
        "179 megapixels as a pyramidal TIFF with infer_wsi.",
    )


def read_instance_map(path: Path) -> InstanceMap:
    """A label image (PNG, TIFF or NPY): 0 is background, any other value one nucleus.

    Ids may have gaps, be whole numbers in floating point, stand in three equal channels, be coded
    as colours on black, or have -1 for the background. A palette image is read by its indices, not
    its colours.

    Raises:
        LabelError: If it cannot be read, is in colour, or its values cannot be ids.
    """
    try:
        pixels = _label_pixels(path)
    except LabelError:
        raise
    except _DAMAGE as error:
        refuse_stand_in(path, "a label image", LabelError)
        raise LabelError(
            f"{path} is not a readable label image: {error}.", "Expected PNG, TIFF, NPY or MAT."
        ) from error
    return _ids(path, _one_channel(path, pixels))


def _label_pixels(path: Path) -> npt.NDArray[Any]:
    if path.suffix.lower() == ".npy":
        return _npy_pixels(path)
    if path.suffix.lower() == ".mat":
        return _mat_pixels(path)
    if path.suffix.lower() in {".tif", ".tiff"}:
        with tifffile.TiffFile(path) as file:
            check_pixels(*file.series[0].shape)
            return np.squeeze(file.asarray())
    with Image.open(path) as image:
        return np.asarray(image)


def _npy_pixels(path: Path) -> npt.NDArray[Any]:
    if path.name.endswith("_seg.npy"):
        raise LabelError(
            f"{path} is Cellpose's own file: a pickle, which runs what it says when it is read.",
            "Have Cellpose write label images instead: --save_tif, or 'save masks' in its window.",
        )
    on_disk = np.load(path, mmap_mode="r", allow_pickle=False)
    if on_disk.ndim == 4 and on_disk.shape[-1] == 2:
        raise LabelError(
            f"{path} holds the labels of {on_disk.shape[0]} images, as CoNIC has them.",
            "Save each image's first channel, labels[i, ..., 0], as a file named like the image.",
        )
    check_pixels(*on_disk.shape)
    return np.array(on_disk)


def _mat_pixels(path: Path) -> npt.NDArray[Any]:
    """``inst_map`` of a MATLAB file, as CoNSeP, CPM and PanNuke's tools have it."""
    if path.stat().st_size > 4 * MAX_FLAT_PIXELS:
        raise LabelError(f"{path} is too large for a label image.", "Save inst_map alone.")
    import scipy.io  # not at the top: it takes a quarter of a second, and few read such files

    try:
        shapes = {name: shape for name, shape, _ in scipy.io.whosmat(path)}
        check_pixels(*shapes.get("inst_map", ()))
        content = scipy.io.loadmat(path, variable_names=["inst_map"])
    except (OSError, MemoryError, ValueError):
        raise
    except Exception as error:  # scipy and zlib raise whatever they like for damaged bytes
        raise ValueError(f"{type(error).__name__}: {error}") from error
    if "inst_map" not in content:
        raise LabelError(
            f"{path} has no inst_map; it has {', '.join(list(shapes)[:5]) or 'nothing'}.",
            "Save the label image under the name inst_map, or as PNG, TIFF or NPY.",
        )
    return np.asarray(content["inst_map"])


def _one_channel(path: Path, pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """``(H, W)`` of one channel, or of channels that are all equal."""
    flat = np.squeeze(pixels) if pixels.ndim > 2 else pixels
    if flat.ndim == 3 and flat.shape[2] in (3, 4) and flat.size:
        colours = flat[..., :3]
        if (colours == colours[..., :1]).all():
            return colours[..., 0]
        if colours.dtype == np.uint8 and flat.shape[2] == 3:
            return ids_of_colours(path, colours)
    if flat.ndim != 2:
        raise LabelError(
            f"{path} has the shape {pixels.shape}; a label image has one value per pixel.",
            "Colour overlays are not labels; export the label image itself.",
        )
    return flat


def _ids(path: Path, pixels: npt.NDArray[Any]) -> InstanceMap:
    if pixels.dtype.kind not in "iubf" or not pixels.size:
        raise LabelError(
            f"{path} holds {pixels.dtype} of shape {pixels.shape}; expected whole numbers.",
            "Export instance ids.",
        )
    low, high = pixels.min(), pixels.max()
    is_whole = pixels.dtype.kind != "f" or bool(
        np.isfinite(low) and np.isfinite(high) and (pixels == np.floor(pixels)).all()
    )
    if not is_whole or low < -1 or high > np.iinfo(np.int32).max:
        raise LabelError(
            f"{path} holds {pixels.dtype} from {low} to {high}; "
            "expected whole numbers from 0 to 2147483647.",
            "Probability maps are not labels; export instance ids.",
        )
    instance_map: InstanceMap = np.maximum(pixels, 0).astype(np.int32)
    return instance_map
