"""The tissue mask as a value: pixels, their scale to level-0 pixels, and where they came from.

How it is found is in ``builtin`` and ``imported``. Scale and frame are data here, never a guess.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from hoverfast_platform.arrays import PointsXY, TissuePixels
from hoverfast_platform.errors import ArrayContractError
from hoverfast_platform.geometry import Mpp


@dataclass(frozen=True)
class TissueMask:
    """Tissue of one slide at low resolution.

    Attributes:
        is_tissue: ``(H, W)``, True on usable tissue; covers the slide's frame exactly.
        slide_width: Level-0 pixels the mask's width stands for.
        slide_height: Level-0 pixels the mask's height stands for.
        slide_mpp: Micrometres per level-0 pixel of the slide.
        engine: What made it.
        provenance: Settings, versions, source file and its digest; goes into results.
        reasons: Per reason, pixels *removed* for it, same shape as ``is_tissue``.
    """

    is_tissue: TissuePixels
    slide_width: int
    slide_height: int
    slide_mpp: Mpp
    engine: Literal["builtin", "histoqc", "import", "none"]
    provenance: dict[str, Any] = field(default_factory=dict)
    reasons: dict[str, TissuePixels] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.is_tissue.ndim != 2 or self.is_tissue.dtype != np.bool_:
            raise ArrayContractError(
                f"A tissue mask must be a 2-D bool array, got {self.is_tissue.dtype} of shape "
                f"{self.is_tissue.shape}."
            )
        if self.is_tissue.size == 0:
            raise ArrayContractError(
                "A tissue mask must have at least one pixel, got an empty array."
            )

    @property
    def scale_x(self) -> float:
        """Level-0 pixels per mask pixel, x. Float: masks rarely divide the slide."""
        return self.slide_width / int(self.is_tissue.shape[1])

    @property
    def scale_y(self) -> float:
        """Level-0 pixels per mask pixel, y."""
        return self.slide_height / int(self.is_tissue.shape[0])

    @property
    def pixel_area_um2(self) -> float:
        return self.scale_x * self.scale_y * self.slide_mpp.pixel_area_um2

    @property
    def tissue_area_mm2(self) -> float:
        return float(np.count_nonzero(self.is_tissue)) * self.pixel_area_um2 * 1e-6

    @property
    def tissue_fraction(self) -> float:
        """Share of the slide's frame that is tissue, 0..1."""
        return float(self.is_tissue.mean())

    def contains(self, points: PointsXY) -> npt.NDArray[np.bool_]:
        """Which points (level-0 pixels) lie on tissue; points outside the slide do not."""
        column = np.floor(points[:, 0] / self.scale_x).astype(np.int64)
        row = np.floor(points[:, 1] / self.scale_y).astype(np.int64)
        height, width = self.is_tissue.shape
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        found = np.zeros(len(points), dtype=np.bool_)
        found[inside] = self.is_tissue[row[inside], column[inside]]
        return found

    def touches(self, *, x0: float, y0: float, x1: float, y1: float) -> bool:
        """Whether any tissue lies in a rectangle of level-0 pixels."""
        height, width = self.is_tissue.shape
        columns = slice(
            max(0, int(x0 // self.scale_x)), min(width, int(np.ceil(x1 / self.scale_x)))
        )
        rows = slice(max(0, int(y0 // self.scale_y)), min(height, int(np.ceil(y1 / self.scale_y))))
        return bool(self.is_tissue[rows, columns].any())

    def digest(self) -> str:
        """SHA-256 of pixels and scale, hex: equal masks have equal digests however made."""
        sha = hashlib.sha256()
        sha.update(repr((self.is_tissue.shape, self.slide_width, self.slide_height)).encode())
        sha.update(np.packbits(self.is_tissue).tobytes())
        return sha.hexdigest()
