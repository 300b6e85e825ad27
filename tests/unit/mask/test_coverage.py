"""Areas inside outlines are exact, although masks are coarse."""

import numpy as np
import pytest
import shapely

from hoverfast_platform.geometry import Mpp
from hoverfast_platform.mask.coverage import covered_shares
from hoverfast_platform.mask.mask_file import mask_record, read_mask, write_mask
from hoverfast_platform.mask.tissue_mask import TissueMask

SCALE_X, SCALE_Y = 7.3, 5.1
SHAPE = (23, 41)

WITH_HOLE = shapely.Polygon(
    [(-20, 11), (170, 3), (260, 118), (90, 90)], [[(40, 20), (70, 20), (60, 40)]]
)
TWO_PARTS = shapely.MultiPolygon([shapely.box(3.3, 4.4, 5.5, 6.6), shapely.box(70, 30, 401, 101)])


def pixel_by_pixel(geometry):
    shares = np.zeros(SHAPE)
    for row, column in np.ndindex(*SHAPE):
        x, y = column * SCALE_X, row * SCALE_Y
        pixel = shapely.box(x, y, x + SCALE_X, y + SCALE_Y)
        shares[row, column] = pixel.intersection(geometry).area / pixel.area
    return shares


def mask(is_tissue):
    height, width = SHAPE
    return TissueMask(
        is_tissue, round(width * SCALE_X), round(height * SCALE_Y), Mpp(0.5, 0.25), "builtin"
    )


@pytest.mark.parametrize("geometry", [WITH_HOLE, TWO_PARTS], ids=["hole", "two parts"])
def test_shares_are_those_of_every_pixel_alone(geometry):
    window, shares = covered_shares(geometry, SHAPE, scale_x=SCALE_X, scale_y=SCALE_Y)

    whole = np.zeros(SHAPE)
    whole[window.y0 : window.y1, window.x0 : window.x1] = shares
    assert np.allclose(whole, pixel_by_pixel(geometry), atol=1e-9)


@pytest.mark.parametrize("geometry", [shapely.box(400, 200, 500, 300), shapely.Polygon()])
def test_an_outline_beside_the_grid_covers_nothing(geometry):
    _, shares = covered_shares(geometry, SHAPE, scale_x=SCALE_X, scale_y=SCALE_Y)

    assert shares.sum() == 0


def test_tissue_in_an_outline_is_cut_at_its_border():
    is_tissue = np.zeros(SHAPE, np.bool_)
    is_tissue[:, :20] = True
    made = mask(is_tissue)
    left = shapely.box(0, 0, 20 * made.scale_x, made.slide_height)

    expected = left.intersection(WITH_HOLE).area * 0.5 * 0.25 * 1e-6
    assert made.area_within_mm2(WITH_HOLE) == pytest.approx(expected)


def test_a_restricted_mask_knows_its_own_area_points_and_identity():
    everything = mask(np.ones(SHAPE, np.bool_))
    restricted = everything.restricted_to(WITH_HOLE)
    points = np.array([[50.0, 25.0], [30.0, 25.0], [5.0, 90.0]])  # hole, inside, outside

    assert restricted.contains(points).tolist() == [False, True, False]
    assert not restricted.touches(x0=50, y0=22, x1=55, y1=24)
    assert restricted.touches(x0=50, y0=22, x1=75, y1=24)
    frame = shapely.box(0, 0, everything.slide_width, everything.slide_height)
    expected = frame.intersection(WITH_HOLE).area * 0.125e-6
    assert restricted.tissue_area_mm2 == pytest.approx(expected)
    assert restricted.tissue_fraction == pytest.approx(expected / everything.tissue_area_mm2)
    assert restricted.digest() != everything.digest() == restricted.unrestricted.digest()


def test_regions_of_a_mask_come_back_from_its_file(tmp_path):
    findings = np.full(SHAPE, 3, np.uint8)
    whole = TissueMask(
        np.ones(SHAPE, np.bool_), 299, 117, Mpp(0.5, 0.25), "builtin", findings=findings
    )
    cut = whole.cut_to(TWO_PARTS)
    write_mask(tmp_path / "m.png", cut, mask_record(cut, "a.svs", "0" * 64))

    back = read_mask(tmp_path / "m.png")

    assert back.digest() == cut.digest()
    assert shapely.equals(back.within, TWO_PARTS)
    assert not back.is_tissue[0, 20]
    assert back.is_tissue[0, 0]  # the small part lies in this pixel
    assert back.findings[0, 20] == 0
