"""The tissue mask as a value: pixels, their scale to level-0 pixels, and where they came from.

How it is found is in ``builtin``, ``histoqc`` and ``imported``. Scale and frame are data here,
never a guess.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import shapely

from hoverfast_platform.arrays import PointsXY, TissuePixels
from hoverfast_platform.errors import ArrayContractError
from hoverfast_platform.files import bytes_sha256
from hoverfast_platform.geometry import Box, Mpp
from hoverfast_platform.mask.coverage import covered_shares
from hoverfast_platform.mask.findings import FindingPixels
from hoverfast_platform.provenance import MaskSource
from hoverfast_platform.slide.reader import SlideInfo

MaskEngineName: TypeAlias = Literal["builtin", "histoqc", "import"]


@dataclass(frozen=True)
class TissueMask:
    """Usable tissue of one slide at low resolution, and what was found wrong.

    Attributes:
        is_tissue: ``(H, W)``, True on usable tissue; covers the slide's frame exactly.
        slide_width: Level-0 pixels the mask's width stands for.
        slide_height: Level-0 pixels the mask's height stands for.
        slide_mpp: Micrometres per level-0 pixel of the slide.
        engine: What made it.
        frame: ``full``, or ``bounds`` where level-0 coordinates start at the slide's bounds.
        origin_px: (x, y) of the frame's origin in the file's full level 0.
        provenance: Settings, versions, source file and its digest; goes into results.
        findings: ``(H, W)``, what was found where; None where the engine names nothing. On a
            pixel that is not tissue it is the reason why; on tissue it is a remark.
        warnings: What a person should know before trusting the mask.
        within: Regions to which the work is restricted, as one valid shapely geometry in level-0
            pixels, exact where the mask's pixels are coarse; None where it is not restricted.
    """

    is_tissue: TissuePixels
    slide_width: int
    slide_height: int
    slide_mpp: Mpp
    engine: MaskEngineName
    frame: Literal["full", "bounds"] = "full"
    origin_px: tuple[int, int] = (0, 0)
    provenance: dict[str, Any] = field(default_factory=dict)
    findings: FindingPixels | None = None
    warnings: tuple[str, ...] = ()
    within: Any = None

    def __post_init__(self) -> None:
        if self.within is not None:
            shapely.prepare(self.within)
        if self.is_tissue.ndim != 2 or self.is_tissue.dtype != np.bool_:
            raise ArrayContractError(
                f"A tissue mask must be a 2-D bool array, got {self.is_tissue.dtype} of shape "
                f"{self.is_tissue.shape}."
            )
        if self.is_tissue.size == 0:
            raise ArrayContractError(
                "A tissue mask must have at least one pixel, got an empty array."
            )
        if self.findings is not None and (
            self.findings.shape != self.is_tissue.shape or self.findings.dtype != np.uint8
        ):
            raise ArrayContractError(
                f"Findings must be uint8 of the mask's shape {self.is_tissue.shape}, got "
                f"{self.findings.dtype} of shape {self.findings.shape}."
            )

    @classmethod
    def of_slide(
        cls,
        info: SlideInfo,
        is_tissue: TissuePixels,
        engine: MaskEngineName,
        *,
        provenance: dict[str, Any],
        findings: FindingPixels | None = None,
        warnings: tuple[str, ...] = (),
    ) -> TissueMask:
        """A mask that covers the whole frame of a slide."""
        return cls(
            is_tissue=is_tissue,
            slide_width=info.width,
            slide_height=info.height,
            slide_mpp=info.mpp,
            engine=engine,
            frame=info.frame,
            origin_px=info.origin_px,
            provenance=provenance,
            findings=findings,
            warnings=warnings,
        )

    def restricted_to(self, within: Any) -> TissueMask:
        """The same tissue, of which only what lies in some regions is looked at.

        The rest is still known as tissue: stains are measured on it, and distances to the border
        of the tissue do not change.

        Args:
            within: Valid shapely geometry, level-0 pixels.
        """
        joined = within if self.within is None else shapely.intersection(self.within, within)
        return replace(self, within=joined)

    def cut_to(self, within: Any) -> TissueMask:
        """A mask whose pixels outside some regions are not tissue, for programs that read pixels.

        Args:
            within: Valid shapely geometry, level-0 pixels.
        """
        is_near = np.zeros_like(self.is_tissue)
        window, shares = self._shares(within)
        is_near[window.y0 : window.y1, window.x0 : window.x1] = shares > 0
        findings = None if self.findings is None else np.where(is_near, self.findings, np.uint8(0))
        cut = replace(self, is_tissue=self.is_tissue & is_near, findings=findings)
        return cut.restricted_to(within)

    @property
    def unrestricted(self) -> TissueMask:
        """All of the tissue, whatever the regions."""
        return self if self.within is None else replace(self, within=None)

    def area_within_mm2(self, geometry: Any) -> float:
        """Usable tissue inside an outline, exact at its border.

        Args:
            geometry: Valid shapely geometry, level-0 pixels.
        """
        if self.within is not None:
            geometry = shapely.intersection(self.within, geometry)
        window, shares = self._shares(geometry)
        tissue = self.is_tissue[window.y0 : window.y1, window.x0 : window.x1]
        return float(shares[tissue].sum()) * self.pixel_area_um2 * 1e-6

    def _shares(self, geometry: Any) -> tuple[Box, npt.NDArray[np.float64]]:
        height, width = self.is_tissue.shape
        return covered_shares(geometry, (height, width), scale_x=self.scale_x, scale_y=self.scale_y)

    @property
    def source(self) -> MaskSource:
        """The mask as results name it."""
        return MaskSource(engine=self.engine, sha256=self.digest())

    @property
    def scale_x(self) -> float:
        """Level-0 pixels per mask pixel, x. Float: masks rarely divide the slide."""
        return self.slide_width / int(self.is_tissue.shape[1])

    @property
    def scale_y(self) -> float:
        """Level-0 pixels per mask pixel, y."""
        return self.slide_height / int(self.is_tissue.shape[0])

    @property
    def mpp(self) -> Mpp:
        """Micrometres per mask pixel."""
        return Mpp(self.scale_x * self.slide_mpp.x, self.scale_y * self.slide_mpp.y)

    @property
    def pixel_area_um2(self) -> float:
        return self.mpp.pixel_area_um2

    @property
    def tissue_area_mm2(self) -> float:
        """Usable tissue, inside the regions where the work is restricted to some."""
        if self.within is not None:
            return self.area_within_mm2(self.within)
        return float(np.count_nonzero(self.is_tissue)) * self.pixel_area_um2 * 1e-6

    @property
    def tissue_fraction(self) -> float:
        """Share of the slide's frame that is usable tissue, 0..1."""
        if self.within is None:
            return float(self.is_tissue.mean())
        frame_mm2 = self.is_tissue.size * self.pixel_area_um2 * 1e-6
        return self.tissue_area_mm2 / frame_mm2

    def contains(self, points: PointsXY) -> npt.NDArray[np.bool_]:
        """Which points (level-0 pixels) lie on tissue and in the regions, their border included.

        Points outside the slide do not.
        """
        column = np.floor(points[:, 0] / self.scale_x).astype(np.int64)
        row = np.floor(points[:, 1] / self.scale_y).astype(np.int64)
        height, width = self.is_tissue.shape
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        found = np.zeros(len(points), dtype=np.bool_)
        found[inside] = self.is_tissue[row[inside], column[inside]]
        if self.within is not None:
            found &= shapely.intersects_xy(self.within, points)
        return found

    def touches(self, *, x0: float, y0: float, x1: float, y1: float) -> bool:
        """Whether a rectangle of level-0 pixels holds any tissue, and any of the regions."""
        if self.within is not None and not self.within.intersects(shapely.box(x0, y0, x1, y1)):
            return False
        height, width = self.is_tissue.shape
        columns = slice(
            max(0, int(x0 // self.scale_x)), min(width, int(np.ceil(x1 / self.scale_x)))
        )
        rows = slice(max(0, int(y0 // self.scale_y)), min(height, int(np.ceil(y1 / self.scale_y))))
        return bool(self.is_tissue[rows, columns].any())

    def digest(self) -> str:
        """SHA-256 of usable pixels, scale and regions, hex: equal masks have equal digests.

        Findings do not enter: they explain the mask and decide no nucleus.
        """
        scale = repr((self.is_tissue.shape, self.slide_width, self.slide_height))
        regions = shapely.to_wkb(self.within) if self.within is not None else b""
        return bytes_sha256(scale.encode(), np.packbits(self.is_tissue).tobytes(), regions)
