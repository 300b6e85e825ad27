"""Compiled outlines and rings, each against shapely or the plain way."""

from fractions import Fraction

import cv2
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from hoverfast_platform.nuclei.outline import trace_outlines
from hoverfast_platform.nuclei.rings import (
    are_clear,
    are_simple,
    closed_rings,
    lengths_and_solidity,
)

SEEDS = st.integers(0, 2**32 - 1)


def random_instances(seed, shape=(30, 40)):
    """Ragged 4-connected shapes with holes, spikes, and parts that touch by a corner."""
    rng = np.random.default_rng(seed)
    noise = cv2.blur(rng.random(shape), (int(rng.integers(1, 5)),) * 2)
    mask = (noise > np.quantile(noise, rng.uniform(0.2, 0.7))).astype(np.uint8)
    n, instances = cv2.connectedComponents(mask, connectivity=4)
    return instances, np.arange(1, n)


def filled(pixels):
    """What the outer outline encloses: background is 8-connected."""
    padded = np.pad(~pixels, 1, constant_values=True).astype(np.uint8)
    _, background = cv2.connectedComponents(padded, connectivity=8)
    return (background != background[0, 0])[1:-1, 1:-1]


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_full_outline_parts_the_pixels_inside_from_those_outside(seed):
    instances, labels = random_instances(seed)
    y, x = np.mgrid[: instances.shape[0], : instances.shape[1]]

    vertices, starts = trace_outlines(instances, labels, 0.0)

    for i, label in enumerate(labels):
        polygon = shapely.Polygon(vertices[starts[i] : starts[i + 1]] / 2)
        inside = filled(instances == label)
        assert polygon.is_valid
        assert polygon.exterior.is_ccw
        assert polygon.area == inside.sum() - 0.5
        assert np.array_equal(shapely.contains_xy(polygon, x + 0.5, y + 0.5), inside)
        assert len(shapely.simplify(polygon, 0).exterior.coords) == starts[i + 1] - starts[i] + 1


def simplified(line, tolerance):
    """Douglas and Peucker with exact fractions, both ends kept."""
    if len(line) < 3:
        return line
    side = line[-1] - line[0]
    distances = []
    for point in line[1:-1] - line[0]:
        along = min(max(Fraction(int(point @ side), int(side @ side)), 0), 1) if side.any() else 0
        distances.append(
            sum((int(p) - along * int(s)) ** 2 for p, s in zip(point, side, strict=True))
        )
    worst = distances.index(max(distances)) + 1
    if distances[worst - 1] <= tolerance**2:
        return line[[0, -1]]
    start, end = simplified(line[: worst + 1], tolerance), simplified(line[worst:], tolerance)
    return np.concatenate([start[:-1], end])


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.sampled_from([0.006, 0.02, 0.1]))
def test_simplified_from_the_first_vertex_to_the_farthest_and_back(seed, per_length):
    instances, labels = random_instances(seed)
    full, full_starts = trace_outlines(instances, labels, 0.0)

    vertices, starts = trace_outlines(instances, labels, per_length)

    for i in range(len(labels)):
        ring = full[full_starts[i] : full_starts[i + 1]]
        closed = np.concatenate([ring, ring[:1]])
        tolerance = per_length * np.hypot(*np.diff(closed, axis=0).T).sum()
        farthest = int(np.square(ring - ring[0]).sum(axis=1).argmax())
        there = simplified(closed[: farthest + 1], tolerance)
        back = simplified(closed[farthest:], tolerance)
        expected = np.concatenate([there[:-1], back[:-1]])
        assert np.array_equal(vertices[starts[i] : starts[i + 1]], expected)


def test_outline_does_not_depend_on_where_an_instance_lies():
    instances, labels = random_instances(5)
    moved = np.pad(instances, ((3, 0), (8, 2)))

    vertices, starts = trace_outlines(instances, labels, 0.006)
    moved_vertices, moved_starts = trace_outlines(moved, labels, 0.006)

    assert np.array_equal(starts, moved_starts)
    assert np.array_equal(vertices + np.array([16, 6]), moved_vertices)


def test_only_the_labels_asked_for_in_their_order():
    instances, labels = random_instances(9)
    some = labels[::-2].copy()
    every, starts = trace_outlines(instances, labels, 0.006)

    vertices, some_starts = trace_outlines(instances, some, 0.006)

    for i, label in enumerate(some):
        ring = every[starts[label - 1] : starts[label]]
        assert np.array_equal(vertices[some_starts[i] : some_starts[i + 1]], ring)
    assert trace_outlines(instances, labels[:0], 0.006)[1].tolist() == [0]


@pytest.mark.parametrize(
    ("ring", "simple"),
    [
        ([(0, 0), (4, 0), (4, 4), (0, 4)], True),
        ([(0, 0), (0, 4), (4, 4), (4, 0)], False),  # clockwise
        ([(0, 0), (2, 0), (4, 0), (4, 4), (0, 4)], True),  # a vertex on a side
        ([(0, 0), (4, 4), (4, 0), (0, 4)], False),  # crosses itself
        ([(0, 0), (6, 0), (4, 0), (4, 4), (0, 4)], False),  # a spike
        ([(0, 0), (6, 0), (6, 4), (3, 0), (0, 4)], False),  # touches a side
        ([(0, 0), (3, 3), (6, 0), (6, 6), (3, 3), (0, 6)], False),  # touches a vertex
        ([(0, 0), (4, 0), (8, 0)], False),  # a line
        ([(0, 0), (4, 0)], False),
        ([(1, 1)], False),
    ],
)
def test_rings_that_are_simple(ring, simple):
    vertices, starts = closed_rings(np.array(ring, np.int64), np.array([0, len(ring)]))

    assert are_simple(vertices, starts).tolist() == [simple]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=3, max_size=9))
def test_simple_is_what_shapely_calls_valid(ring):
    """On a coarse grid, where touching and folding is common."""
    vertices, starts = closed_rings(np.array(ring, np.int64), np.array([0, len(ring)]))
    if len(vertices) < 4:
        assert not are_simple(vertices, starts)[0]
        return
    polygon = shapely.Polygon(vertices)
    repeats_gone = shapely.remove_repeated_points(shapely.LinearRing([*ring, ring[0]]))

    assert np.array_equal(vertices, shapely.get_coordinates(repeats_gone))
    expected = polygon.is_valid and polygon.area > 0 and polygon.exterior.is_ccw
    assert are_simple(vertices, starts)[0] == expected


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 9)), min_size=3, max_size=9),
    st.sampled_from([0.011, 0.015, 0.07, 0.13]),
)
def test_clear_is_what_shapely_measures_as_clearance(ring, clearance):
    vertices, starts = closed_rings(np.array(ring, np.int64), np.array([0, len(ring)]))
    if not are_simple(vertices, starts)[0]:
        return
    xy = vertices * 0.1
    measured = shapely.minimum_clearance(shapely.Polygon(xy))

    assert are_clear(xy, starts, clearance)[0] == (measured >= clearance)


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_length_and_solidity_are_shapelys(seed):
    instances, labels = random_instances(seed)
    vertices, starts = closed_rings(*trace_outlines(instances, labels, 0.006))
    xy = vertices * 0.1 + (5000.3, 70000.1)

    length, solidity = lengths_and_solidity(xy, starts, 0.25, 0.5)

    for i in range(len(labels)):
        ring = xy[starts[i] : starts[i + 1]]
        polygon = shapely.Polygon(ring)
        assert length[i] == pytest.approx(shapely.LinearRing(ring * (0.25, 0.5)).length, rel=1e-6)
        hull = shapely.convex_hull(polygon)
        assert solidity[i] == pytest.approx(polygon.area / hull.area, rel=1e-6)
