"""What a slide offers to the rest of the engine; ``slide.open`` opens one.

Five readers implement :class:`SlideReader`: ``openslide_reader`` (whole slide files),
``tiff_reader`` (TIFF that OpenSlide does not read, or reads wrongly), ``czi_reader`` and
``zarr_reader`` (from which a slide is made) and ``array_reader`` (an RGB image in memory: ROIs,
tests).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, Self

from hoverfast_platform.arrays import RgbImage
from hoverfast_platform.errors import UnreadableSlideError, UnsupportedScaleError
from hoverfast_platform.geometry import Box, Mpp
from hoverfast_platform.provenance import SlideSource

GREY_NOTE = "It is grey, so its stains cannot be told apart."

_MAX_TILE_BYTES = 1 << 30

_PLAUSIBLE_MPP = (0.02, 50.0)
"""Finer than any light microscope resolves, coarser than any overview scan."""


@dataclass(frozen=True)
class SlideInfo:
    """What is known about a slide before a pixel is read.

    Attributes:
        name: File name without folder, for people; never an identity.
        vendor: Format as OpenSlide names it, ``"array"`` for an image in memory.
        width: Level-0 pixels across, of the bounds where the file declares bounds.
        height: Level-0 pixels down, likewise.
        mpp: Micrometres per level-0 pixel.
        mpp_source: ``"file"`` or ``"override"``.
        frame: ``"full"``, or ``"bounds"`` where level-0 coordinates start at the bounds.
        origin_px: (x, y) of the frame's origin in the file's full level 0.
        level_downsamples: Level-0 pixels per pixel of each level, (x, y), float.
        level_sizes: (width, height) of each level, of the whole file.
        objective_power: What the scanner wrote; shown, never computed with.
        properties: Selected vendor properties, as text. No patient identifiers.
        notes: How its pixels were read, where that is not plain; go into results as warnings.
        scenes: Names of the images that the file holds, where it may hold several.
    """

    name: str
    vendor: str
    width: int
    height: int
    mpp: Mpp
    mpp_source: Literal["file", "override"]
    frame: Literal["full", "bounds"] = "full"
    origin_px: tuple[int, int] = (0, 0)
    level_downsamples: tuple[tuple[float, float], ...] = ((1.0, 1.0),)
    level_sizes: tuple[tuple[int, int], ...] = ()
    objective_power: float | None = None
    properties: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    scenes: tuple[str, ...] = ()

    @property
    def area_mm2(self) -> float:
        """Area of the frame."""
        return self.width * self.height * self.mpp.pixel_area_um2 * 1e-6

    def source(self, sha256: str) -> SlideSource:
        """The slide as results name it.

        Args:
            sha256: Digest of its files.
        """
        return SlideSource(
            sha256=sha256,
            mpp_x=self.mpp.x,
            mpp_y=self.mpp.y,
            mpp_source=self.mpp_source,
            frame=self.frame,
            origin_px=self.origin_px,
            width_px=self.width,
            height_px=self.height,
        )


class SlideReader(Protocol):
    """An open slide. Reading is thread-safe; use as a context manager."""

    info: SlideInfo

    def read_level(self, level: int, box: Box) -> RgbImage:
        """Pixels of ``box`` in pixels of ``level`` relative to the frame's origin.

        Pixels outside the level are white. Alpha is composed on white.

        Raises:
            UnreadableSlideError: If the file is damaged there.
        """
        ...

    def expect_readers(self, n_threads: int) -> None:
        """Be told how many threads will read neighbouring regions at the same time."""
        ...

    def close(self) -> None:
        """Release the file."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc_info: object) -> None: ...


def check_tile(path: Path, n_bytes: int) -> None:
    """Refuse a slide of which a single tile or strip would fill the memory.

    Raises:
        UnreadableSlideError: If it would.
    """
    if n_bytes > _MAX_TILE_BYTES:
        raise UnreadableSlideError(
            f"{path.name} is stored in pieces of {n_bytes / 2**20:,.0f} MiB, each of which is "
            "unpacked to read any pixel of it.",
            "Store it in tiles, for instance with `vips tiffsave --tile --pyramid`.",
        )


def check_plausible(path: Path, mpp: Mpp) -> None:
    """Pass if a microscope can have such pixels.

    Raises:
        UnsupportedScaleError: If not.
    """
    low, high = _PLAUSIBLE_MPP
    for value in (mpp.x, mpp.y):
        if not low <= value <= high:
            raise UnsupportedScaleError(
                f"{path.name}: {value} micrometres per pixel is outside {low}..{high}.",
                "Scanners write 0.1 to 1; a value in millimetres or in pixels per cm was "
                "probably taken as mpp. Give the right one with --mpp.",
            )
