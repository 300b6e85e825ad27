"""The interface of all teachers: an image at a stated mpp in, an instance map out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hoverfast_platform.arrays import InstanceMap, RgbImage
from hoverfast_platform.config import Settings
from hoverfast_platform.model.card import LabelSource


class TeacherDescription(Settings):
    """What a teacher is, for provenance."""

    name: str
    """``classical``, ``people``, ``hovernet fast``, ``students x2, 8-fold``..."""
    digest: str = ""
    """SHA-256 of its weights, or over all label files it read from; empty where it has none."""
    licence: str = ""
    """Licence of its weights, or of the labels."""
    model_digests: tuple[str, ...] = ()
    """SHA-256 of each of our models that it is made of."""
    learned_from: tuple[LabelSource, ...] = ()
    """Label sets behind those models: students of this teacher inherit them."""


@dataclass(frozen=True)
class TileImage:
    """An image to be labelled and where it was taken from.

    Attributes:
        rgb: ``(H, W, 3)``.
        mpp: Micrometres per pixel.
        path: File of the slide or image.
        x0_px: Left edge in the source at ``mpp``; ``y0_px`` its top.
        scale_x: Level-0 pixels of the source per pixel; ``scale_y`` likewise.
        source_size: (width, height) of the whole source in level-0 pixels, where it is known.
    """

    rgb: RgbImage
    mpp: float
    path: Path
    x0_px: int = 0
    y0_px: int = 0
    scale_x: float = 1.0
    scale_y: float = 1.0
    source_size: tuple[int, int] | None = None


class Teacher(Protocol):
    """Labels images. ``mpp`` is the scale it wants them at, micrometres per pixel."""

    mpp: float

    def describe(self) -> TeacherDescription:
        """Describe the teacher for provenance; the same teacher always says the same."""
        ...

    def label(self, tile: TileImage) -> InstanceMap:
        """Nuclei of the tile, ``(H, W)``.

        Raises:
            HoverFastError: If it cannot.
        """
        ...
