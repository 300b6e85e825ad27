from hypothesis import given, settings
from hypothesis import strategies as st

from hoverfast_platform.config import Tiling
from hoverfast_platform.geometry import Box, ModelLattice
from hoverfast_platform.tiling import plan_tiles


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3000), st.integers(1, 3000), st.sampled_from([128, 256, 512, 1024]))
def test_tiles_cover_the_slide_exactly_once(width, height, tile_size):
    lattice = ModelLattice(1.0, 1.0, width, height)

    plan = plan_tiles(lattice, Tiling(tile_size_px=tile_size), lambda *_: True)

    covered = sum(
        tile.box.clipped(lattice.box).width * tile.box.clipped(lattice.box).height
        for tile in plan.tiles
    )
    assert covered == width * height
    assert len({tile.box for tile in plan.tiles}) == len(plan.tiles)
    assert plan.tile_width_px <= max(tile_size, 4)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3000), st.integers(1, 3000), st.sampled_from([128, 256, 512, 1024]))
def test_regions_hold_tile_and_margin_and_stay_on_the_slide(width, height, tile_size):
    """All of one shape; beyond the slide lies only what fills the last 4 px."""
    tiling = Tiling(tile_size_px=tile_size)
    lattice = ModelLattice(1.0, 1.0, width, height)
    on_slide = Box.of(x=0, y=0, width=-(-width // 4) * 4, height=-(-height // 4) * 4)

    plan = plan_tiles(lattice, tiling, lambda *_: True)

    for tile in plan.tiles:
        assert tile.region.x0 % 4 == 0
        assert tile.region.y0 % 4 == 0
        assert (tile.region.height, tile.region.width) == plan.region_shape
        assert tile.region.clipped(on_slide) == tile.region
        needed = tile.box.grown(tiling.margin_px).clipped(lattice.box)
        assert needed.clipped(tile.region) == needed


def test_tiles_without_tissue_are_left_out():
    lattice = ModelLattice(1.0, 1.0, 1000, 1000)

    plan = plan_tiles(lattice, Tiling(tile_size_px=256), lambda x0, _y0, _x1, _y1: x0 < 100)

    assert len(plan.tiles) == 4
    assert [tile.index for tile in plan.tiles] == [0, 1, 2, 3]
