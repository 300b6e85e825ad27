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

_ALIGNMENT_PX = 4
"""Two poolings by 2: a tile that starts elsewhere would be pooled differently."""


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
        tile_width_px: Of every tile, model pixels.
        tile_height_px: Likewise.
        margin_px: Context around each tile, at least, but for the slide's border.
        lattice: The lattice the boxes are on.
    """

    tiles: tuple[Tile, ...]
    tile_width_px: int
    tile_height_px: int
    margin_px: int
    lattice: ModelLattice

    @property
    def region_shape(self) -> tuple[int, int]:
        """(height, width) of every region, the same for all so that they batch."""
        return (
            _region_length(self.tile_height_px, self.margin_px, self.lattice.height_px),
            _region_length(self.tile_width_px, self.margin_px, self.lattice.width_px),
        )


def plan_tiles(lattice: ModelLattice, tiling: Tiling, has_tissue: HasTissue) -> TilePlan:
    """Tiles that together cover all tissue exactly once, to the slide's border.

    The tile size asked for is an upper bound: the slide is divided evenly, so that the last
    row and column are not mostly empty. Starts stay multiples of 4 model pixels.
    """
    width = _even_share(lattice.width_px, tiling.tile_size_px)
    height = _even_share(lattice.height_px, tiling.tile_size_px)
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
                region = _region(box, tiling.margin_px, lattice)
                tiles.append(Tile(len(tiles), box, region))
    return TilePlan(tuple(tiles), width, height, tiling.margin_px, lattice)


def _region(tile: Box, margin_px: int, lattice: ModelLattice) -> Box:
    width = _region_length(tile.width, margin_px, lattice.width_px)
    height = _region_length(tile.height, margin_px, lattice.height_px)
    return Box.of(
        x=_region_start(tile.x0 - margin_px, width, lattice.width_px),
        y=_region_start(tile.y0 - margin_px, height, lattice.height_px),
        width=width,
        height=height,
    )


def _region_length(tile_px: int, margin_px: int, slide_px: int) -> int:
    """With both margins where the slide is so large; else all of it, up to the alignment."""
    return min(tile_px + 2 * margin_px, _aligned(slide_px))


def _region_start(wanted_px: int, length_px: int, slide_px: int) -> int:
    return min(max(wanted_px, 0), _aligned(slide_px) - length_px)


def _even_share(length_px: int, largest_px: int) -> int:
    """Side of the tiles when ``length_px`` is divided evenly into as few as possible."""
    n_tiles = max(1, math.ceil(length_px / largest_px))
    share = math.ceil(length_px / n_tiles)
    return _aligned(share)


def _aligned(length_px: int) -> int:
    return math.ceil(length_px / _ALIGNMENT_PX) * _ALIGNMENT_PX
