"""Pictures: nuclei on a thumbnail, the tissue mask, the density of nuclei."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageColor

from hoverfast_platform.arrays import InstanceMap, RgbImage, TissuePixels
from hoverfast_platform.errors import SettingsError
from hoverfast_platform.geometry import Mpp
from hoverfast_platform.nuclei.nucleus import Nuclei

NUCLEUS_COLOUR = (0, 160, 60)
"""Green: the colour that H&E does not have."""

_SUBPIXEL_BITS = 4


_LETTERS = {
    "r": "red",
    "g": "green",
    "b": "blue",
    "c": "cyan",
    "m": "magenta",
    "y": "yellow",
    "k": "black",
    "w": "white",
}


@dataclass(frozen=True)
class Line:
    """How outlines are drawn: RGB colour and width in pixels."""

    colour: tuple[int, int, int] = NUCLEUS_COLOUR
    width_px: int = 1

    @classmethod
    def of(cls, colour: str, width_px: int) -> Line:
        """Read a style from a CSS colour name, one of the letters ``rgbcmykw``, or ``#rrggbb``.

        Raises:
            SettingsError: If it is not a colour, or the width is not 1..50.
        """
        try:
            red, green, blue = ImageColor.getrgb(_LETTERS.get(colour, colour))[:3]
        except ValueError as error:
            raise SettingsError(
                f"{colour!r} is not a colour.", "Give a CSS name (limegreen) or #rrggbb."
            ) from error
        if not 1 <= width_px <= 50:
            raise SettingsError(f"Lines are 1 to 50 pixels wide, {width_px} was asked for.")
        return cls((red, green, blue), width_px)


def draw_nuclei(
    rgb: RgbImage,
    blocks: Iterable[Nuclei],
    *,
    scale_x: float,
    scale_y: float,
    thickness: int = 1,
    colour: tuple[int, int, int] = NUCLEUS_COLOUR,
) -> RgbImage:
    """Outlines drawn on a copy of ``rgb``.

    Args:
        rgb: Picture of the whole frame.
        blocks: Nuclei in level-0 pixels.
        scale_x: Level-0 pixels per pixel of ``rgb``, from left to right.
        scale_y: Level-0 pixels per pixel of ``rgb``, from top to bottom.
        thickness: Thickness of the lines, pixels.
        colour: RGB.
    """
    out = rgb.copy()
    line = Line(colour, thickness)
    for nuclei in blocks:
        draw_on(out, nuclei, scale_x=scale_x, scale_y=scale_y, line=line)
    return out


def draw_on(
    picture: RgbImage, nuclei: Nuclei, *, scale_x: float, scale_y: float, line: Line = Line()
) -> None:
    """Draw outlines as :func:`draw_nuclei` does, on the picture itself."""
    xy = (nuclei.vertices_xy / (scale_x, scale_y) - 0.5) * 2**_SUBPIXEL_BITS
    points = np.round(xy).astype(np.int32)
    rings = np.split(points, nuclei.ring_starts[1:-1]) if len(nuclei) else []
    cv2.polylines(picture, rings, True, line.colour, line.width_px, cv2.LINE_AA, _SUBPIXEL_BITS)


def draw_instances(rgb: RgbImage, instance_map: InstanceMap) -> RgbImage:
    """Outlines of an instance map of the picture's size, drawn on a copy."""
    edge = cv2.morphologyEx(
        instance_map.astype(np.float32), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)
    )
    out = rgb.copy()
    out[(edge > 0) & (instance_map > 0)] = NUCLEUS_COLOUR
    return out


def draw_mask(rgb: RgbImage, is_tissue: TissuePixels) -> RgbImage:
    """What the mask leaves out is dimmed, the mask's edge drawn in blue."""
    height, width = rgb.shape[:2]
    mask = cv2.resize(is_tissue.view(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    out: RgbImage = np.asarray(cv2.LUT(rgb, (np.arange(256) * 2 // 5 + 90).astype(np.uint8)))
    np.copyto(out, rgb, where=mask[..., None] > 0)
    contours, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    cv2.drawContours(out, contours, -1, (20, 60, 220), max(1, width // 400))
    return out


def draw_density(
    counts: npt.NDArray[np.int64], is_tissue: TissuePixels, cell_area_mm2: float
) -> RgbImage:
    """Nuclei per mm2 as a heat map with its scale written below.

    Args:
        counts: ``(h, w)`` nuclei per grid cell.
        is_tissue: The tissue mask, any size; cells without tissue are white.
        cell_area_mm2: Area of a grid cell.
    """
    density = counts / cell_area_mm2
    height, width = counts.shape
    top = float(np.quantile(density[counts > 0], 0.99)) if (counts > 0).any() else 1.0
    levels = np.clip(density / top * 255, 0, 255).astype(np.uint8)
    heat = cv2.applyColorMap(levels, cv2.COLORMAP_VIRIDIS)[..., ::-1].copy()
    tissue = cv2.resize(is_tissue.view(np.uint8), (width, height), interpolation=cv2.INTER_AREA)
    heat[(tissue == 0) & (counts == 0)] = 255
    enlarge = max(1, 480 // max(width, height))
    heat = cv2.resize(heat, None, fx=enlarge, fy=enlarge, interpolation=cv2.INTER_NEAREST)
    legend = np.full((48, max(heat.shape[1], 240), 3), 255, dtype=np.uint8)
    ramp = np.linspace(0, 255, 200).astype(np.uint8)[None].repeat(12, axis=0)
    legend[6:18, 10:210] = cv2.applyColorMap(ramp, cv2.COLORMAP_VIRIDIS)[..., ::-1]
    clipped = " or more" if float(density.max()) > top else ""
    text = f"0 .. {top:.0f}{clipped}, nuclei/mm2"
    cv2.putText(legend, text, (10, 38), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    if heat.shape[1] < legend.shape[1]:
        pad = legend.shape[1] - heat.shape[1]
        heat = cv2.copyMakeBorder(heat, 0, 0, 0, pad, cv2.BORDER_CONSTANT, value=(255, 255, 255))
    return np.concatenate([heat, legend])


def draw_density_of(
    centroid_xy: npt.NDArray[np.float64], *, width_px: int, height_px: int, mpp: Mpp
) -> RgbImage:
    """Draw where a slide's nuclei lie, on a grid of at most 60 cells a side.

    Args:
        centroid_xy: ``(n, 2)`` centroids in level-0 pixels. One outside the slide (a nucleus cut
            by the edge may have its centroid on the edge) counts in the cell next to it.
        width_px: Level-0 pixels across.
        height_px: Level-0 pixels down.
        mpp: Micrometres per level-0 pixel.
    """
    cell_px = max(64.0, max(width_px, height_px) / 60)
    counts = np.zeros((int(np.ceil(height_px / cell_px)), int(np.ceil(width_px / cell_px))), int)
    last = (counts.shape[1] - 1, counts.shape[0] - 1)
    cells = np.clip((centroid_xy // cell_px).astype(int), 0, last)
    np.add.at(counts, (cells[:, 1], cells[:, 0]), 1)
    return draw_density(counts, counts > 0, cell_px**2 * mpp.pixel_area_um2 * 1e-6)


def encode_jpeg(rgb: RgbImage, *, max_side_px: int) -> bytes:
    """JPEG with its longer side at most ``max_side_px``."""
    buffer = io.BytesIO()
    _thumbnail(rgb, max_side_px).save(buffer, format="JPEG", quality=88)
    return buffer.getvalue()


def encode_webp(rgb: RgbImage, *, max_side_px: int, max_bytes: int) -> bytes:
    """WebP with its longer side at most ``max_side_px``; quality falls until it fits."""
    image = _thumbnail(rgb, max_side_px)
    for quality in (75, 60, 45, 30, 15):
        buffer = io.BytesIO()
        image.save(buffer, format="WEBP", quality=quality)
        if buffer.tell() <= max_bytes:
            break
    return buffer.getvalue()


def _thumbnail(rgb: RgbImage, max_side_px: int) -> Image.Image:
    image = Image.fromarray(rgb)
    image.thumbnail((max_side_px, max_side_px))
    return image
