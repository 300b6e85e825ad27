"""The columns of a table of nuclei: names, units, frames.

Everything that stores or shows nuclei goes by this module; how the values are found is in
``contours`` and ``measurements``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hoverfast_platform.config import Stain
from hoverfast_platform.errors import ArrayContractError


@dataclass(frozen=True)
class Measurement:
    """A number about a nucleus.

    Attributes:
        column: Name of the column, unit at the end.
        qupath_name: The same in QuPath's spelling.
        definition: What it is, for people.
        stain: The staining it is measured on; None for every one.
    """

    column: str
    qupath_name: str
    definition: str
    stain: Stain | None = None


MEASUREMENTS: tuple[Measurement, ...] = (
    Measurement("area_um2", "Area µm^2", "Pixels of the nucleus times the area of a pixel."),
    Measurement("perimeter_um", "Length µm", "Length of the polygon."),
    Measurement(
        "equivalent_diameter_um",
        "Equivalent diameter µm",
        "Diameter of the circle of the same area.",
    ),
    Measurement(
        "eccentricity",
        "Eccentricity",
        "The ellipse has the same second moments: 0 is a circle, near 1 a line.",
    ),
    Measurement("solidity", "Solidity", "Area of the polygon over that of its convex hull, 0..1."),
    Measurement(
        "orientation_deg",
        "Orientation degrees",
        "Angle of that ellipse's long axis to the x axis, counter-clockwise as seen, 0..180.",
    ),
    Measurement("hematoxylin_od_mean", "Hematoxylin: Mean", "Mean optical density of hematoxylin."),
    Measurement("hematoxylin_od_sd", "Hematoxylin: Std.Dev.", "Its standard deviation."),
    Measurement("eosin_od_mean", "Eosin: Mean", "Mean optical density of eosin.", stain="he"),
    Measurement("eosin_od_sd", "Eosin: Std.Dev.", "Its standard deviation.", stain="he"),
    Measurement("dab_od_mean", "DAB: Mean", "Mean optical density of DAB.", stain="ihc_dab"),
    Measurement("dab_od_sd", "DAB: Std.Dev.", "Its standard deviation.", stain="ihc_dab"),
    Measurement("confidence", "Detection probability", "Mean foreground probability, 0..1."),
    Measurement(
        "mask_border_um",
        "Distance to mask border µm",
        "From the centroid to where the tissue mask or the slide ends.",
    ),
)
"""Everything that is measured, in the order in which files list it."""


def measurement_columns(stain: Stain) -> list[str]:
    """Columns a segmentation of a slide of that staining has, in order."""
    return [m.column for m in MEASUREMENTS if m.stain in (None, stain)]


@dataclass(frozen=True)
class Nuclei:
    """Nuclei of a tile, a block of tiles, or a slide; N rows, all in level-0 pixels.

    Attributes:
        centroid_xy: ``(N, 2)`` float64, mean position of the nucleus's pixels.
        vertices_xy: ``(V, 2)`` float64, the polygons' outer rings one after another, each
            closed (first vertex repeated last), valid and rounded to ``decimals``.
        ring_starts: ``(N + 1,)`` int64; ring ``i`` is the rows from ``ring_starts[i]`` up to
            ``ring_starts[i + 1]`` of ``vertices_xy``.
        tile_index: ``(N,)`` int32, which tile of the plan owns the nucleus.
        decimals: Decimals of the vertices: 0 where a level-0 pixel is fine enough, else 1.
        measurements: Column name to ``(N,)`` float32; NaN where it cannot be measured.
    """

    centroid_xy: npt.NDArray[np.float64]
    vertices_xy: npt.NDArray[np.float64]
    ring_starts: npt.NDArray[np.int64]
    tile_index: npt.NDArray[np.int32]
    decimals: int = 0
    measurements: dict[str, npt.NDArray[np.float32]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.centroid_xy)
        if self.ring_starts.shape != (n + 1,) or self.ring_starts[-1] != len(self.vertices_xy):
            raise ArrayContractError(
                f"ring_starts must have {n + 1} entries ending at {len(self.vertices_xy)}, "
                f"got shape {self.ring_starts.shape}."
            )
        columns = {"tile_index": self.tile_index, **self.measurements}
        for name, column in columns.items():
            if column.shape != (n,):
                raise ArrayContractError(f"Column {name} must have {n} values, got {column.shape}.")

    def __len__(self) -> int:
        return len(self.centroid_xy)

    @classmethod
    def empty(cls, decimals: int = 0, columns: Sequence[str] = ()) -> Nuclei:
        """No nuclei: a result like any other."""
        return cls(
            centroid_xy=np.zeros((0, 2)),
            vertices_xy=np.zeros((0, 2)),
            ring_starts=np.zeros(1, dtype=np.int64),
            tile_index=np.zeros(0, dtype=np.int32),
            decimals=decimals,
            measurements={name: np.zeros(0, dtype=np.float32) for name in columns},
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Nuclei]) -> Nuclei:
        """All rows in the order given; every part must have the same columns."""
        if not parts:
            return cls.empty()
        starts = [np.zeros(1, dtype=np.int64)]
        n_vertices = 0
        for part in parts:
            starts.append(part.ring_starts[1:] + n_vertices)
            n_vertices += len(part.vertices_xy)
        return cls(
            centroid_xy=np.concatenate([part.centroid_xy for part in parts]),
            vertices_xy=np.concatenate([part.vertices_xy for part in parts]),
            ring_starts=np.concatenate(starts),
            tile_index=np.concatenate([part.tile_index for part in parts]),
            decimals=max(part.decimals for part in parts),
            measurements={
                name: np.concatenate([part.measurements[name] for part in parts])
                for name in parts[0].measurements
            },
        )

    def boxes_xy(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Lower and upper corners of the outlines' bounding boxes, ``(N, 2)`` each."""
        if not len(self):
            return np.zeros((0, 2)), np.zeros((0, 2))
        starts = self.ring_starts[:-1]
        lows = np.minimum.reduceat(self.vertices_xy, starts)
        return lows, np.maximum.reduceat(self.vertices_xy, starts)

    def take(self, rows: npt.NDArray[Any]) -> Nuclei:
        """The given rows (indices or a bool mask), in that order."""
        index = np.flatnonzero(rows) if rows.dtype == np.bool_ else np.asarray(rows, dtype=np.int64)
        lengths = np.diff(self.ring_starts)[index]
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        gather = np.repeat(self.ring_starts[index] - starts[:-1], lengths) + np.arange(starts[-1])
        return Nuclei(
            centroid_xy=self.centroid_xy[index],
            vertices_xy=self.vertices_xy[gather],
            ring_starts=starts,
            tile_index=self.tile_index[index],
            decimals=self.decimals,
            measurements={name: column[index] for name, column in self.measurements.items()},
        )

    def with_column(self, name: str, values: npt.NDArray[np.float32]) -> Nuclei:
        """The same nuclei with one more measurement."""
        return replace(self, measurements={**self.measurements, name: values})

    def ring(self, i: int) -> npt.NDArray[np.float64]:
        """Closed outer ring of nucleus ``i``, ``(n, 2)``."""
        return self.vertices_xy[self.ring_starts[i] : self.ring_starts[i + 1]]

    def polygons(self) -> npt.NDArray[np.object_]:
        """``(N,)`` shapely polygons."""
        import shapely

        rings = shapely.linearrings(
            self.vertices_xy,
            indices=np.repeat(np.arange(len(self)), np.diff(self.ring_starts)),
        )
        polygons: npt.NDArray[np.object_] = shapely.polygons(rings)
        return polygons
