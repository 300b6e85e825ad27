"""The cells of a slide: its nuclei grown by a distance, never across a neighbour, on tissue only.

Works on a grid of pixels of one size over the whole slide, piece by piece. Each piece sees as
much around it as can decide its cells, so that cells do not depend on how the slide is cut.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import shapely
from pydantic import Field

from hoverfast_platform.arrays import InstanceMap
from hoverfast_platform.cells.growth import grow
from hoverfast_platform.config import Outlines, Settings
from hoverfast_platform.geometry import Box, ModelLattice
from hoverfast_platform.mask.tissue_mask import TissueMask
from hoverfast_platform.nuclei.contours import COORDINATE_DECIMALS, repaired_polygons, trace_rings
from hoverfast_platform.nuclei.filled_rings import fill_rings
from hoverfast_platform.nuclei.nucleus import Nuclei
from hoverfast_platform.provenance import SlideSource

_EVERY_CORNER = Outlines(simplification_permille=0)
"""Simplified outlines of neighbours would overlap."""


class CellExpansion(Settings):
    """How cells are made of nuclei."""

    distance_um: float = Field(default=5.0, gt=0, le=50)
    """How far a cell reaches beyond its nucleus, at most. QuPath's default is 5."""

    mpp: float = Field(default=0.5, ge=0.1, le=2)
    """Size of the pixels on which nuclei grow, micrometres. Finer follows the border between
    neighbours closer and takes time by its square."""

    piece_px: int = Field(default=1024, ge=64, le=8192)
    """Side of the pieces in which a slide is gone through, in those pixels. Cells do not depend on
    it."""


@dataclass(frozen=True)
class Piece:
    """The cells of one piece of a slide.

    Attributes:
        rows: ``(N,)`` rows of their nuclei in the table.
        cells: Their outlines, each around its nucleus's, with the nucleus's centroid and tile.
        box: The piece with what was looked at around it, pixels of the grid.
        nucleus_labels: ``(H, W)`` pixels of nuclei in the box; cell ``i`` has the number ``i + 1``
            and nuclei of other pieces have none.
        cell_labels: ``(H, W)`` pixels of cells with the same numbers, their nuclei included.
    """

    rows: npt.NDArray[np.int64]
    cells: Nuclei
    box: Box
    nucleus_labels: InstanceMap
    cell_labels: InstanceMap


class AllNuclei(Protocol):
    """The nuclei of a slide: in memory, or read from their table piece by piece."""

    @property
    def centroid_xy(self) -> npt.NDArray[np.float64]:
        """``(N, 2)`` level-0 pixels."""

    def __len__(self) -> int: ...

    def boxes_xy(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Corners of the outlines' bounding boxes."""

    def take(self, rows: npt.NDArray[Any]) -> Nuclei:
        """The given rows, in that order."""


@dataclass(frozen=True)
class SlideCells:
    """Cells of one slide, made piece by piece.

    Attributes:
        nuclei: All of them.
        slide: Size and scale.
        tissue: To which cells are clipped; None lets them grow anywhere on the slide.
        expansion: How far, and on which grid.
    """

    nuclei: AllNuclei
    slide: SlideSource
    tissue: TissueMask | None
    expansion: CellExpansion = CellExpansion()

    @property
    def lattice(self) -> ModelLattice:
        """The grid on which nuclei grow."""
        return ModelLattice.of(
            width=self.slide.width_px,
            height=self.slide.height_px,
            slide_mpp=self.slide.mpp,
            model_mpp=self.expansion.mpp,
        )

    def pieces(self) -> Iterator[Piece]:
        """Every piece that owns a nucleus, row by row; together they hold every cell once."""
        if not len(self.nuclei):
            return
        lattice, side = self.lattice, self.expansion.piece_px
        scale = np.array([lattice.scale_x, lattice.scale_y])
        centre = self.nuclei.centroid_xy / scale
        lows, highs = (corner / scale for corner in self.nuclei.boxes_xy())
        reach_px = self.expansion.distance_um / self.expansion.mpp
        extent = float(max(np.abs(centre - lows).max(), np.abs(highs - centre).max()))
        margin = int(np.ceil(extent + 2 * reach_px)) + 2
        columns = lattice.width_px // side + 1
        place = np.clip(centre // side, 0, None).astype(np.int64)
        piece_of = place[:, 1] * columns + place[:, 0]
        order = np.argsort(piece_of, kind="stable")
        index = _Boxes(lows, highs, side)
        for rows in np.split(order, np.flatnonzero(np.diff(piece_of[order])) + 1):
            x, y = (place[rows[0]] * side).tolist()
            box = Box.of(x=x, y=y, width=side, height=side).grown(margin).clipped(lattice.box)
            near = index.touching(box)
            yield self._piece(rows, near, box, scale, reach_px)

    def _piece(
        self,
        rows: npt.NDArray[np.int64],
        near: npt.NDArray[np.int64],
        box: Box,
        scale: npt.NDArray[np.float64],
        reach_px: float,
    ) -> Piece:
        around = self.nuclei.take(near)
        vertices = around.vertices_xy / scale - (box.x0, box.y0)
        numbers = np.arange(1, len(near) + 1, dtype=np.int32)
        drawn = np.zeros((box.height, box.width), np.int32)
        fill_rings(drawn, vertices, around.ring_starts, numbers)
        grown = grow(drawn, self._may_grow(box, scale), reach_px)
        own = np.zeros(len(near) + 1, np.int32)
        own[np.searchsorted(near, rows) + 1] = np.arange(1, len(rows) + 1)
        nucleus_labels, cell_labels = own[drawn], own[grown]
        nuclei = self.nuclei.take(rows)
        return Piece(
            rows, self._outlined(nuclei, cell_labels, box), box, nucleus_labels, cell_labels
        )

    def _may_grow(self, box: Box, scale: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        """Which pixels of a box lie on tissue, by their centres; all without a mask."""
        tissue = self.tissue
        if tissue is None:
            return np.ones((box.height, box.width), np.bool_)
        height, width = tissue.is_tissue.shape
        x = (np.arange(box.x0, box.x1) + 0.5) * scale[0] / tissue.scale_x
        y = (np.arange(box.y0, box.y1) + 0.5) * scale[1] / tissue.scale_y
        columns = np.minimum(x.astype(np.int64), width - 1)
        rows = np.minimum(y.astype(np.int64), height - 1)
        return np.ascontiguousarray(tissue.is_tissue[np.ix_(rows, columns)])

    def _outlined(self, nuclei: Nuclei, labels: InstanceMap, box: Box) -> Nuclei:
        """The nuclei with the outlines of their cells; one without a pixel is its own cell."""
        labelled = np.unique(labels)
        present = labelled[labelled > 0].astype(np.int64)
        rings = trace_rings(labels, present, box, self.lattice, _EVERY_CORNER)
        outlines = nuclei.polygons()
        cells = outlines.copy()
        closed = shapely.linearrings(
            rings.vertices_xy,
            indices=np.repeat(np.arange(len(rings.starts) - 1), np.diff(rings.starts)),
        )
        cells[present[rings.is_valid] - 1] = shapely.polygons(closed)
        cells = _around(cells, outlines)
        vertices, ring_of = shapely.get_coordinates(
            shapely.get_exterior_ring(cells), return_index=True
        )
        lengths = np.bincount(ring_of, minlength=len(cells))
        return Nuclei(
            centroid_xy=nuclei.centroid_xy,
            vertices_xy=vertices,
            ring_starts=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            tile_index=nuclei.tile_index,
            decimals=COORDINATE_DECIMALS,
        )


class _Boxes:
    """Which nuclei reach into a box: their own boxes, by the squares their corners lie in."""

    def __init__(
        self, lows: npt.NDArray[np.float64], highs: npt.NDArray[np.float64], side: int
    ) -> None:
        self._lows, self._highs, self._side = lows, highs, side
        rows = np.clip(lows[:, 1], 0, None).astype(np.int64) // side
        self._order = np.argsort(rows, kind="stable")
        self._sorted_rows = rows[self._order]
        self._tallest = float((highs[:, 1] - lows[:, 1]).max())

    def touching(self, box: Box) -> npt.NDArray[np.int64]:
        """Rows of those, ascending."""
        first = int(max(box.y0 - self._tallest, 0)) // self._side
        last = box.y1 // self._side
        start = np.searchsorted(self._sorted_rows, first)
        end = np.searchsorted(self._sorted_rows, last, side="right")
        candidates = self._order[start:end]
        lows, highs = self._lows[candidates], self._highs[candidates]
        is_near = (lows < (box.x1, box.y1)).all(axis=1) & (highs > (box.x0, box.y0)).all(axis=1)
        return np.sort(candidates[is_near])


def _around(cells: npt.NDArray[np.object_], nuclei: npt.NDArray[np.object_]) -> Any:
    """Cells that hold their nucleus wholly: its outline is finer than the grid."""
    over = np.flatnonzero(~shapely.covers(cells, nuclei))
    joined = shapely.union(cells[over], nuclei[over])
    is_one = shapely.get_type_id(joined) == shapely.GeometryType.POLYGON
    joined[~is_one] = nuclei[over][~is_one]
    filled = shapely.polygons(shapely.get_exterior_ring(joined))
    rounded = shapely.transform(filled, lambda xy: np.round(xy, COORDINATE_DECIMALS))
    valid = repaired_polygons(shapely.remove_repeated_points(rounded))
    is_lost = shapely.is_empty(valid)
    valid[is_lost] = nuclei[over][is_lost]
    cells[over] = shapely.orient_polygons(valid, exterior_cw=False)
    return cells
