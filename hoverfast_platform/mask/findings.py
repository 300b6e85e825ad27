"""What a quality engine can find on a slide besides tissue, and its colour in pictures.

Codes are written to mask files: never renumber them.
"""

from __future__ import annotations

import enum
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

FindingPixels: TypeAlias = npt.NDArray[np.uint8]
"""``(H, W)``, a :class:`Finding` per pixel."""


class Finding(enum.IntEnum):
    """Why a pixel is not, or perhaps should not be, usable tissue."""

    NONE = 0
    """Plain tissue, or plain background."""
    PEN = 1
    """Ink of a marker on tissue."""
    BLUR = 2
    """Tissue out of focus."""
    FOLD_DARK = 3
    """Folded tissue, and whatever else is too dark to see nuclei in."""
    BUBBLE = 4
    """Air under the cover slip, or its edge: smooth and without structure."""
    FAT = 5
    """Empty fat cells."""
    SPECK = 6
    """Pieces too small to be tissue worth looking at."""
    PEN_ON_GLASS = 7
    """Ink beside the tissue; no tissue is lost to it."""
    COVERSLIP = 8
    """The edge of the cover slip."""
    OTHER = 9
    """A step of another program that has no name here."""

    @property
    def label(self) -> str:
        """The name for people and for files: ``fold_dark``."""
        return self.name.lower()


COLOURS: dict[Finding, tuple[int, int, int]] = {
    Finding.PEN: (0, 170, 60),
    Finding.BLUR: (240, 150, 0),
    Finding.FOLD_DARK: (220, 30, 30),
    Finding.BUBBLE: (0, 190, 220),
    Finding.FAT: (250, 220, 0),
    Finding.SPECK: (120, 120, 120),
    Finding.PEN_ON_GLASS: (130, 220, 150),
    Finding.COVERSLIP: (60, 60, 200),
    Finding.OTHER: (160, 60, 200),
}
"""RGB, for pictures; none of them is a usual colour of H&E."""
