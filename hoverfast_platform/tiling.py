"""Cutting a slide's model lattice into tiles, and finding those that hold tissue.

Arithmetic only: opens no file and knows neither masks nor nuclei.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from hoverfast_platform.config import Tiling
from hoverfast_platform.geometry import Box, ModelLattice

HasTissue = Callable[[float, float, float, float], bool]
"""Whether any tissue lies in the rectangle (x0, y0, x1, y1) of level-0 pixels."""

_NUCLEUS_RADIUS_PX = 30
"""The radius of a large nucleus, 15 um across, so that a nucleus whose centroid lies at a tile's
edge is seen whole."""


@dataclass(frozen=True)
class FieldOfView:
    """What a network needs around and of the regions it is shown.

    Attributes:
        radius_px: How far an output pixel sees.
        multiple_px: The sides of regions, and where they begin, are multiples of this; elsewhere
            they would be pooled differently.
    """

    radius_px: int = 66
    multiple_px: int = 4

    def margin_px(self, tiling: Tiling) -> int:
        """Context around a tile: as set, else what an output pixel and a large nucleus need."""
        wanted = tiling.margin_px or self.radius_px + _NUCLEUS_RADIUS_PX
        return self.aligned(wanted)

    def aligned(self, length_px: int) -> int:
        """The length, or a little more."""
        return math.ceil(length_px / self.multiple_px) * self.multiple_px


@dataclass(frozen=True)
class Tile:
    """A cell of the grid; owns the nuclei whose centroid lies in it, half-open.

    Attributes:
        index: Position in the plan, which is in raster order.
        box: The tile in model pixels. Border tiles may reach past the slide.
        region: The tile with its margin: what is read and predicted. At the slide's border it
            is moved inwards, so that nothing is made up of what lies beyond: convolutions find
            there what they found at the edge of every crop in training.
    """

    index: int
    box: Box
    region: Box


@dataclass(frozen=True)
class TilePlan:
    """The tiles of one slide that hold tissue.

    Attributes:
        tiles: In raster order.
        tile_width_px: Width of every tile, model pixels.
        tile_height_px: Height of every tile, model pixels.
        region_shape: (height, width) of every region, the same for all so that they batch.
        lattice: The lattice the boxes are on.
    """

    tiles: tuple[Tile, ...]
    tile_width_px: int
    tile_height_px: int
    region_shape: tuple[int, int]
    lattice: ModelLattice


def plan_tiles(
    lattice: ModelLattice,
    tiling: Tiling,
    has_tissue: HasTissue,
    view: FieldOfView = FieldOfView(),
) -> TilePlan:
    """Tiles that together cover all tissue exactly once, to the slide's border.

    The tile size asked for is an upper bound: the slide is divided evenly, so that the last
    row and column are not mostly empty.

    Args:
        lattice: The slide's pixels at the model's scale.
        tiling: Size of the tiles.
        has_tissue: Which tiles to leave out.
        view: What the network needs around them.
    """
    width = view.aligned(_even_share(lattice.width_px, tiling.tile_size_px))
    height = view.aligned(_even_share(lattice.height_px, tiling.tile_size_px))
    margin = view.margin_px(tiling)
    slide = (view.aligned(lattice.height_px), view.aligned(lattice.width_px))
    shape = (min(height + 2 * margin, slide[0]), min(width + 2 * margin, slide[1]))
    tiles: list[Tile] = []
    for y in range(0, lattice.height_px, height):
        for x in range(0, lattice.width_px, width):
            box = Box.of(x=x, y=y, width=width, height=height)
            inside = box.clipped(lattice.box)
            if has_tissue(
                inside.x0 * lattice.scale_x,
                inside.y0 * lattice.scale_y,
                inside.x1 * lattice.scale_x,
                inside.y1 * lattice.scale_y,
            ):
                region = Box.of(
                    x=_start(x - margin, shape[1], slide[1]),
                    y=_start(y - margin, shape[0], slide[0]),
                    width=shape[1],
                    height=shape[0],
                )
                tiles.append(Tile(len(tiles), box, region))
    return TilePlan(tuple(tiles), width, height, shape, lattice)


def _start(wanted_px: int, length_px: int, slide_px: int) -> int:
    """Moved inwards where it would reach over the slide's border."""
    return min(max(wanted_px, 0), slide_px - length_px)


def _even_share(length_px: int, largest_px: int) -> int:
    """Side of the tiles when ``length_px`` is divided evenly into as few as possible."""
    return math.ceil(length_px / max(1, math.ceil(length_px / largest_px)))
