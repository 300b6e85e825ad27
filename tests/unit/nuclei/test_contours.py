import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from hoverfast_platform.geometry import Box, ModelLattice
from hoverfast_platform.nuclei.contours import MIN_CLEARANCE_PX, repaired_polygons, trace_rings
from hoverfast_platform.nuclei.ownership import describe_instances, is_owned


def polygons(rings):
    n = len(rings.starts) - 1
    return shapely.polygons(
        shapely.linearrings(
            rings.vertices_xy, indices=np.repeat(np.arange(n), np.diff(rings.starts))
        )
    )


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_polygon_has_the_area_of_its_pixels(scale):
    """The published code follows pixel centres and loses a tenth of a nucleus 20 px across."""
    yy, xx = np.mgrid[:64, :72]
    instances = ((xx - 30) ** 2 + (yy - 33) ** 2 <= 100).astype(np.int32)
    lattice = ModelLattice(scale, scale, 1000, 800)

    rings = trace_rings(instances, np.array([1]), Box.at_origin(width=72, height=64), lattice)

    expected = instances.sum() * scale**2
    assert shapely.area(polygons(rings))[0] == pytest.approx(expected, rel=0.03)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.5, 1.0, 1.7]))
def test_every_ring_is_closed_valid_and_inside(seed, scale):
    """Ragged shapes, one pixel wide spikes and specks included."""
    rng = np.random.default_rng(seed)
    noise = rng.random((40, 52)) > rng.uniform(0.2, 0.7)
    import cv2

    n, instances = cv2.connectedComponents(noise.astype(np.uint8), connectivity=4)
    lattice = ModelLattice(scale, scale, 52, 40)

    rings = trace_rings(instances, np.arange(1, n), Box.at_origin(width=52, height=40), lattice)

    shapes = polygons(rings)
    assert shapely.is_valid(shapes).all()
    assert (shapely.minimum_clearance(shapes) >= MIN_CLEARANCE_PX).all()
    assert (shapely.area(shapes) > 0).all()
    assert np.array_equal(rings.vertices_xy, rings.vertices_xy.round(1))
    assert rings.vertices_xy.min() >= 0
    assert (
        rings.vertices_xy.max(axis=0, initial=0) <= (52 * scale + 1e-9, 40 * scale + 1e-9)
    ).all()
    assert rings.is_valid.sum() == len(shapes)


def test_nucleus_on_a_seam_has_one_owner():
    """A centroid exactly on the line belongs to the tile that starts there."""
    centroid = np.array([[64.0, 10.0], [63.9, 10.0]])
    left, right = Box.at_origin(width=64, height=64), Box.of(x=64, y=0, width=64, height=64)

    assert list(is_owned(centroid, left)) == [False, True]
    assert list(is_owned(centroid, right)) == [True, False]


def test_two_regions_agree_on_a_centroid_to_the_last_bit():
    whole = np.zeros((50, 80), np.int32)
    whole[10:23, 30:47] = 1
    part = whole[5:, 20:]

    a = describe_instances(whole, whole.astype(np.float32), Box.at_origin(width=80, height=50))
    b = describe_instances(part, part.astype(np.float32), Box(x0=20, y0=5, x1=80, y1=50))

    assert np.array_equal(a.centroid_xy_px, b.centroid_xy_px)
    assert np.allclose(a.centroid_xy_px, [[38.5, 16.5]])


VERTEX_ON_A_SIDE = [[71.9, 31], [72.1, 30.9], [72.1, 30.8], [72.3, 30.8], [71.9, 31]]


def test_a_valid_outline_that_qupath_would_fold_is_given_up_or_repaired():
    """Of the first nothing is left; a slit in the second's middle is closed."""
    slit = [[0, 0], [20, 0], [20, 20], [10.1, 20], [10, 0.01], [9.9, 20], [0, 20], [0, 0]]
    before = np.array([shapely.Polygon(ring) for ring in (VERTEX_ON_A_SIDE, slit)])
    assert shapely.is_valid(before).all()
    assert (shapely.minimum_clearance(before) < MIN_CLEARANCE_PX).all()

    first, second = repaired_polygons(before)

    assert first.is_empty
    assert second.is_valid
    assert shapely.minimum_clearance(second) >= MIN_CLEARANCE_PX
    assert second.area > 150
    assert np.array_equal(shapely.get_coordinates(second).round(1), shapely.get_coordinates(second))
