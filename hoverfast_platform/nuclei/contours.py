"""Instance map to valid polygons in level-0 pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely

from hoverfast_platform.arrays import InstanceMap
from hoverfast_platform.config import Outlines
from hoverfast_platform.geometry import Box, ModelLattice
from hoverfast_platform.nuclei.outline import HalfPixels, trace_outlines
from hoverfast_platform.nuclei.rings import Starts, WholeXY, are_clear, are_simple, closed_rings

COORDINATE_DECIMALS = 1
"""Decimals of a polygon's level-0 pixels. Whole pixels would push every straight edge outwards,
4 % of the area of a nucleus at 0.25 mpp (measured on TNBC); tenths make the file a fifth larger."""

MIN_CLEARANCE_PX = 0.015
"""Least distance of a vertex from another side. QuPath 0.6 and later rounds to hundredths of a
pixel and refuses a whole file for one outline that folds onto itself by that."""

_GRID = 10.0**COORDINATE_DECIMALS
"""Steps of written coordinates in a level-0 pixel."""


@dataclass(frozen=True)
class Rings:
    """Closed outer rings in level-0 pixels, rounded and valid.

    Attributes:
        vertices_xy: ``(V, 2)``, one ring after another.
        starts: ``(N + 1,)`` first row of each ring.
        is_valid: ``(M,)`` for the M labels asked for: False where no valid ring exists
            after rounding; ``N`` of them are True.
    """

    vertices_xy: npt.NDArray[np.float64]
    starts: npt.NDArray[np.int64]
    is_valid: npt.NDArray[np.bool_]


def trace_rings(
    instances: InstanceMap,
    labels: npt.NDArray[np.int64],
    region: Box,
    lattice: ModelLattice,
    outlines: Outlines = Outlines(),
) -> Rings:
    """Outlines of the given labels, in their order.

    Args:
        instances: ``(H, W)`` instance map of the region; holes in an instance are ignored.
        labels: ``(M,)`` labels to trace, each present in ``instances``.
        region: Where the map lies, model pixels.
        lattice: Scale to level-0 pixels and the slide's size, to which rings are clipped.
        outlines: How far a ring may leave the pixels' outline.
    """
    tolerance = outlines.simplification_permille * 1e-3
    places = _Places(region, lattice)
    vertices, starts = places.rounded(*trace_outlines(instances, labels, tolerance))
    rings = Rings(vertices / _GRID, starts, np.ones(len(labels), np.bool_))
    is_good = are_simple(vertices, starts) & are_clear(rings.vertices_xy, starts, MIN_CLEARANCE_PX)
    if is_good.all():
        return rings
    bad = np.flatnonzero(~is_good)
    return _repaired(rings, bad, *places.rounded(*trace_outlines(instances, labels[bad], 0.0)))


@dataclass(frozen=True)
class _Places:
    """Where half pixels of a region are on a slide, on the grid of written coordinates."""

    region: Box
    lattice: ModelLattice

    def rounded(self, half_pixels: HalfPixels, starts: Starts) -> tuple[WholeXY, Starts]:
        """Closed rings of grid steps."""
        scale = np.array([self.lattice.scale_x, self.lattice.scale_y])
        corner = np.array([self.region.x0, self.region.y0], dtype=np.float64)
        limit = np.array([self.lattice.width_px, self.lattice.height_px]) * scale
        level_0 = np.clip((half_pixels * 0.5 + corner) * scale, 0, limit)
        return closed_rings(np.rint(level_0 * _GRID).astype(np.int64), starts)


def _repaired(
    rings: Rings, bad: npt.NDArray[np.int64], unsimplified: WholeXY, starts: Starts
) -> Rings:
    """Rings with the bad ones replaced by what can be made valid of their full outlines.

    Simplifying and rounding can fold a thin neck onto itself.
    """
    each = np.split(rings.vertices_xy, rings.starts[1:-1])
    is_valid = rings.is_valid.copy()
    for row, ring in zip(bad, np.split(unsimplified, starts[1:-1]), strict=True):
        is_ring = len(ring) >= 4
        polygon = shapely.Polygon(ring / _GRID if is_ring else None)
        (valid,) = repaired_polygons(np.array([polygon], dtype=np.object_))
        each[row] = shapely.get_coordinates(shapely.orient_polygons(valid, exterior_cw=False))
        is_valid[row] = not valid.is_empty
    kept = [ring for ring, keep in zip(each, is_valid, strict=True) if keep]
    return Rings(
        vertices_xy=np.concatenate([np.zeros((0, 2)), *kept]),
        starts=np.cumsum([0, *map(len, kept)]).astype(np.int64),
        is_valid=is_valid,
    )


def repaired_polygons(polygons: npt.NDArray[np.object_]) -> npt.NDArray[np.object_]:
    """Polygons valid *after* rounding, here and in QuPath; empty where that cannot be had.

    Rounding can fold a thin neck onto itself. QuPath refuses a whole file for one such ring, so
    each is repaired, rounded again on the same grid, and given up if it is still not good.

    Args:
        polygons: ``(N,)`` shapely polygons, rounded to :data:`COORDINATE_DECIMALS`.
    """
    polygons = polygons.copy()
    bad = np.flatnonzero(~_are_good(polygons))
    if len(bad):
        # A valid one here has a neck or a slit too thin: what is thinner than a step is cut off.
        opened = shapely.buffer(polygons[bad], 0)
        thin = np.flatnonzero(shapely.is_valid(polygons[bad]))
        step = 1 / _GRID
        opened[thin] = shapely.buffer(
            shapely.buffer(opened[thin], -step, join_style="mitre"), step, join_style="mitre"
        )
        mended = _largest_part(shapely.set_precision(_largest_part(opened), step))
        # The grid operation may leave 0.30000000000000004: round as the writer will.
        mended = shapely.transform(mended, lambda xy: np.round(xy, COORDINATE_DECIMALS))
        mended[~_are_good(mended)] = shapely.Polygon()
        polygons[bad] = mended
    polygons[shapely.area(polygons) <= 0] = shapely.Polygon()
    return polygons


def _are_good(polygons: npt.NDArray[np.object_]) -> npt.NDArray[np.bool_]:
    """Which are valid and keep their sides apart; empty ones do."""
    good: npt.NDArray[np.bool_] = shapely.is_valid(polygons)
    good[good] = shapely.minimum_clearance(polygons[good]) >= MIN_CLEARANCE_PX
    return good


def _largest_part(shapes: npt.NDArray[np.object_]) -> npt.NDArray[np.object_]:
    """The largest polygon of each shape, without holes; empty where there is none."""
    parts, shape_of = shapely.get_parts(shapes, return_index=True)
    largest = np.full(len(shapes), shapely.Polygon(), dtype=np.object_)
    is_polygon = shapely.get_type_id(parts) == shapely.GeometryType.POLYGON
    parts, shape_of = parts[is_polygon], shape_of[is_polygon]
    order = np.lexsort((shapely.area(parts), shape_of))  # the last of each shape is largest
    largest[shape_of[order]] = shapely.polygons(shapely.get_exterior_ring(parts[order]))
    return largest
