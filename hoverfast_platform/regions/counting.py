"""How many nuclei lie in each region, and what they are like.

A nucleus lies in a region if its centroid does; the border belongs to the region. Densities are
per mm2 of usable tissue, as everywhere, where the tissue mask is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from hoverfast_platform.config import Staining
from hoverfast_platform.geometry import Mpp
from hoverfast_platform.mask.tissue_mask import TissueMask
from hoverfast_platform.regions.reading import Region, RegionFrame
from hoverfast_platform.storage.summary import DabPositivity, Distribution


@dataclass(frozen=True)
class NucleiColumns:
    """What is counted of the nuclei of a slide; outlines are not needed.

    Attributes:
        centroid_xy: ``(N, 2)`` level-0 pixels.
        measurements: Column name to ``(N,)``.
        class_names: ``(N,)`` each one's class; None where nuclei have none.
    """

    centroid_xy: npt.NDArray[np.float64]
    measurements: Mapping[str, npt.NDArray[np.float32]]
    class_names: npt.NDArray[np.object_] | None = None

    def __len__(self) -> int:
        return len(self.centroid_xy)

    def take(self, rows: npt.NDArray[np.int64]) -> NucleiColumns:
        """The given rows."""
        return NucleiColumns(
            self.centroid_xy[rows],
            {name: column[rows] for name, column in self.measurements.items()},
            None if self.class_names is None else self.class_names[rows],
        )

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes that tell nuclei apart, sorted; empty where all have the same or none."""
        found = sorted(set(self.class_names)) if self.class_names is not None else []
        return tuple(found) if len(found) > 1 else ()


@dataclass(frozen=True)
class RegionFigures:
    """What was counted in one region, of all nuclei or of one class.

    Attributes:
        region_number: From 1; 0 is the whole slide.
        region: Name of the region; empty for the whole slide.
        region_class: Its class; empty where it has none.
        nucleus_class: The nuclei that were counted; empty for all.
        n_nuclei: How many.
        region_area_mm2: The region, tissue or not; None for a slide of unknown size.
        tissue_area_mm2: Usable tissue in it; None where the mask is not known.
        nuclei_per_mm2: Per mm2 of usable tissue; None without tissue or mask.
        nuclei_per_region_mm2: Per mm2 of the region, tissue or not; None without area.
        distributions: By column.
        dab: For IHC.
        remarks: What a person should know before using the figures.
    """

    region_number: int
    region: str
    region_class: str
    nucleus_class: str
    n_nuclei: int
    region_area_mm2: float | None
    tissue_area_mm2: float | None
    nuclei_per_mm2: float | None
    nuclei_per_region_mm2: float | None
    distributions: Mapping[str, Distribution] = field(default_factory=dict)
    dab: DabPositivity | None = None
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class RegionCounter:
    """Counts the nuclei of one slide.

    Attributes:
        nuclei: All of them.
        mpp: Micrometres per level-0 pixel.
        tissue: The mask in which they were looked for; None where it is not known.
        staining: Thresholds of DAB; None where the slide is not IHC.
    """

    nuclei: NucleiColumns
    mpp: Mpp
    tissue: TissueMask | None = None
    staining: Staining | None = None

    def in_region(self, region: Region) -> Iterator[RegionFigures]:
        """All nuclei of a region, then each class of the slide, with 0 where there are none."""
        inside = np.flatnonzero(is_inside(region.geometry, self.nuclei.centroid_xy))
        area = shapely.area(region.geometry) * self.mpp.pixel_area_um2 * 1e-6
        tissue = self.tissue.area_within_mm2(region.geometry) if self.tissue is not None else None
        yield from self._figures(self.nuclei.take(inside), region, area, tissue)

    def on_slide(self, frame: RegionFrame) -> Iterator[RegionFigures]:
        """All nuclei of the slide, then each class."""
        area = None
        if frame.is_known:
            area = frame.width_px * frame.height_px * self.mpp.pixel_area_um2 * 1e-6
        tissue = self.tissue.tissue_area_mm2 if self.tissue is not None else None
        yield from self._figures(self.nuclei, Region(0, "", "", frame.box), area, tissue)

    def _figures(
        self,
        nuclei: NucleiColumns,
        region: Region,
        area_mm2: float | None,
        tissue_mm2: float | None,
    ) -> Iterator[RegionFigures]:
        for class_name in ("", *self.nuclei.classes):
            chosen = nuclei
            if class_name:
                assert nuclei.class_names is not None
                chosen = nuclei.take(np.flatnonzero(nuclei.class_names == class_name))
            n = len(chosen)
            found = {name: Distribution.of(values) for name, values in chosen.measurements.items()}
            yield RegionFigures(
                region_number=region.number,
                region=region.name,
                region_class=region.class_name,
                nucleus_class=class_name,
                n_nuclei=n,
                region_area_mm2=area_mm2,
                tissue_area_mm2=tissue_mm2,
                nuclei_per_mm2=n / tissue_mm2 if tissue_mm2 else None,
                nuclei_per_region_mm2=n / area_mm2 if area_mm2 else None,
                distributions={name: one for name, one in found.items() if one is not None},
                dab=self._dab(chosen),
                remarks=region.remarks,
            )

    def _dab(self, nuclei: NucleiColumns) -> DabPositivity | None:
        if self.staining is None or "dab_od_mean" not in nuclei.measurements:
            return None
        return DabPositivity.of(nuclei.measurements["dab_od_mean"], self.staining)


def is_inside(geometry: Any, points_xy: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Which points lie in an outline or on its border.

    Args:
        geometry: Valid shapely geometry.
        points_xy: ``(N, 2)``.
    """
    found = np.zeros(len(points_xy), np.bool_)
    if geometry.is_empty:
        return found
    x0, y0, x1, y1 = geometry.bounds
    x, y = points_xy.T
    near = np.flatnonzero((x >= x0) & (x <= x1) & (y >= y0) & (y <= y1))
    shapely.prepare(geometry)
    found[near] = shapely.intersects_xy(geometry, points_xy[near])
    return found
