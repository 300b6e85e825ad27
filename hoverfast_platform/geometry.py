"""The only arithmetic between micrometres, level-0 pixels, level pixels and model pixels.

Frames, all with the origin at the top left *corner* of the top left pixel and x before y:

* **level-0 pixels**: the slide's full resolution, float; the one frame that crosses modules
  and reaches disk. Where a slide declares bounds (MRXS, some DICOM) its origin is the
  bounds' corner, as in QuPath; ``SlideInfo.origin_px`` holds the offset.
* **model pixels**: the slide resampled to the model's mpp. One lattice per slide: where a
  tile starts never moves a sample.
* **region pixels**: model pixels with the origin at a region's corner.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from hoverfast_platform.errors import SettingsError

NATIVE_TOLERANCE = 0.005
"""Scales closer to 1 than this are taken as 1: half a per cent is below scanner calibration,
and reading pixels as they are is sharper than resampling them."""


@dataclass(frozen=True, kw_only=True)
class Box:
    """A half-open rectangle ``[x0, x1) x [y0, y1)`` of whole pixels, in the frame its name says.

    Its four numbers are only ever given by name: arrays are row first, and a swap goes unnoticed
    wherever an image happens to be square.
    """

    x0: int
    y0: int
    x1: int
    y1: int

    @classmethod
    def of(cls, *, x: int, y: int, width: int, height: int) -> Box:
        """Box from its corner and size."""
        return cls(x0=x, y0=y, x1=x + width, y1=y + height)

    @classmethod
    def at_origin(cls, *, width: int, height: int) -> Box:
        """All of an image or a slide of this size."""
        return cls(x0=0, y0=0, x1=width, y1=height)

    @property
    def width(self) -> int:
        return self.x1 - self.x0

    @property
    def height(self) -> int:
        return self.y1 - self.y0

    def grown(self, margin: int) -> Box:
        """The box with ``margin`` pixels more on each side; may leave the slide."""
        return Box(
            x0=self.x0 - margin,
            y0=self.y0 - margin,
            x1=self.x1 + margin,
            y1=self.y1 + margin,
        )

    def clipped(self, other: Box) -> Box:
        """The part inside ``other``; zero-sized where they do not meet."""
        x0, y0 = max(self.x0, other.x0), max(self.y0, other.y0)
        return Box(
            x0=x0,
            y0=y0,
            x1=max(x0, min(self.x1, other.x1)),
            y1=max(y0, min(self.y1, other.y1)),
        )

    @property
    def is_empty(self) -> bool:
        return self.width <= 0 or self.height <= 0


@dataclass(frozen=True)
class Mpp:
    """Micrometres per pixel, x and y apart: scanners exist whose pixels are not square."""

    x: float
    y: float

    def __post_init__(self) -> None:
        for axis, value in (("x", self.x), ("y", self.y)):
            if not (math.isfinite(value) and value > 0):
                raise SettingsError(
                    f"mpp in {axis} must be a positive number of micrometres, got {value}."
                )

    @property
    def mean(self) -> float:
        """Geometric mean, so that ``mean ** 2`` is the area of a pixel in um2."""
        return math.sqrt(self.x * self.y)

    @property
    def pixel_area_um2(self) -> float:
        return self.x * self.y


@dataclass(frozen=True)
class ModelLattice:
    """The slide's model-pixel lattice: its scale to level-0 pixels and its size.

    Attributes:
        scale_x: Level-0 pixels per model pixel, x.
        scale_y: The same for y.
        width_px: Model pixels across, rounded up so that the slide's last pixel is covered.
        height_px: Model pixels down, likewise.
    """

    scale_x: float
    scale_y: float
    width_px: int
    height_px: int

    @classmethod
    def of(cls, *, width: int, height: int, slide_mpp: Mpp, model_mpp: float) -> ModelLattice:
        """Lattice of a slide of ``width x height`` level-0 pixels at the model's mpp."""
        scale_x = _native_if_close(model_mpp / slide_mpp.x)
        scale_y = _native_if_close(model_mpp / slide_mpp.y)
        return cls(
            scale_x=scale_x,
            scale_y=scale_y,
            width_px=_ceil(width / scale_x),
            height_px=_ceil(height / scale_y),
        )

    @property
    def box(self) -> Box:
        return Box.at_origin(width=self.width_px, height=self.height_px)

    @property
    def is_native(self) -> bool:
        return self.scale_x == 1.0 and self.scale_y == 1.0


def _native_if_close(scale: float) -> float:
    return 1.0 if abs(scale - 1.0) < NATIVE_TOLERANCE else scale


def _ceil(value: float) -> int:
    """Ceiling that forgives float noise: 100.0000000001 pixels are 100."""
    return math.ceil(value - 1e-6)
