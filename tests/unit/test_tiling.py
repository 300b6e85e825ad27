from hypothesis import given, settings
from hypothesis import strategies as st

from hoverfast_platform.config import Tiling
from hoverfast_platform.geometry import Box, ModelLattice
from hoverfast_platform.tiling import FieldOfView, plan_tiles


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
@given(
    st.integers(1, 3000),
    st.integers(1, 3000),
    st.sampled_from([128, 256, 512, 1024]),
    st.sampled_from([FieldOfView(), FieldOfView(radius_px=117, multiple_px=16)]),
)
def test_regions_hold_tile_and_margin_and_stay_on_the_slide(width, height, tile_size, view):
    """All of one shape; beyond the slide lies only what fills the network's last block."""
    tiling = Tiling(tile_size_px=tile_size)
    lattice = ModelLattice(1.0, 1.0, width, height)
    on_slide = Box.of(x=0, y=0, width=view.aligned(width), height=view.aligned(height))

    plan = plan_tiles(lattice, tiling, lambda *_: True, view)

    for tile in plan.tiles:
        assert tile.region.x0 % view.multiple_px == 0
        assert tile.region.y0 % view.multiple_px == 0
        assert tile.region.width % view.multiple_px == 0
        assert tile.region.height % view.multiple_px == 0
        assert (tile.region.height, tile.region.width) == plan.region_shape
        assert tile.region.clipped(on_slide) == tile.region
        needed = tile.box.grown(view.radius_px).clipped(lattice.box)
        assert needed.clipped(tile.region) == needed


def test_tiles_without_tissue_are_left_out():
    lattice = ModelLattice(1.0, 1.0, 1000, 1000)

    plan = plan_tiles(lattice, Tiling(tile_size_px=256), lambda x0, _y0, _x1, _y1: x0 < 100)

    assert len(plan.tiles) == 4
    assert [tile.index for tile in plan.tiles] == [0, 1, 2, 3]


def test_a_margin_that_is_set_is_kept_but_for_the_networks_blocks():
    assert FieldOfView().margin_px(Tiling()) == 96
    assert FieldOfView(radius_px=117, multiple_px=16).margin_px(Tiling()) == 160
    assert FieldOfView(multiple_px=16).margin_px(Tiling(margin_px=68)) == 80
