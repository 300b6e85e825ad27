"""Compiled growth equals the plain definition."""

import numpy as np
import pytest
from scipy import ndimage
from skimage.draw import polygon

from hoverfast_platform.cells.growth import fill_rings, grow


def plain_growth(labels, may_grow, distance):
    """For every pixel all nuclei near enough, by distance and then by number."""
    grown = labels.copy()
    ys, xs = np.nonzero(labels)
    for y, x in np.argwhere((labels == 0) & may_grow):
        squared = (ys - y) ** 2 + (xs - x) ** 2
        near = squared <= distance**2
        if near.any():
            grown[y, x] = min(zip(squared[near], labels[ys, xs][near], strict=True))[1]
    kept = labels.copy()
    for label in np.unique(labels[labels > 0]):
        parts, _ = ndimage.label(grown == label)
        touched = np.unique(parts[labels == label])
        kept[np.isin(parts, touched[touched > 0])] = label
    return kept


@pytest.mark.parametrize("seed", range(6))
def test_growth_is_that_of_the_nearest_nucleus(seed):
    rng = np.random.default_rng(seed)
    labels = np.zeros((37, 61), np.int32)
    for label in rng.permutation(14) + 1:
        y, x = rng.integers(0, 33), rng.integers(0, 55)
        labels[y : y + rng.integers(1, 6), x : x + rng.integers(1, 7)] = label
    may_grow = rng.random(labels.shape) > 0.15
    distance = float(rng.uniform(1.5, 9))

    assert np.array_equal(
        grow(labels, may_grow, distance), plain_growth(labels, may_grow, distance)
    )


def test_equally_near_nuclei_are_told_apart_by_number_and_not_by_place():
    labels = np.zeros((1, 7), np.int32)
    labels[0, 0], labels[0, 6] = 2, 1

    grown = grow(labels, np.ones((1, 7), np.bool_), 5.0)

    assert grown[0].tolist() == [2, 2, 2, 1, 1, 1, 1]
    assert grow(labels[:, ::-1].copy(), np.ones((1, 7), np.bool_), 5.0)[0].tolist() == [
        1, 1, 1, 1, 2, 2, 2
    ]  # fmt: skip


def test_rings_are_filled_where_centres_lie_inside():
    rng = np.random.default_rng(5)
    angles = np.sort(rng.uniform(0, 2 * np.pi, 9))
    ring = np.stack([20 + 15 * np.cos(angles), 11 + 13 * np.sin(angles)], axis=1)
    ring = np.concatenate([ring, ring[:1]])

    filled = fill_rings((23, 41), ring, np.array([0, len(ring)]), np.array([7], np.int32))

    expected = np.zeros((23, 41), np.int32)
    expected[polygon(ring[:, 1] - 0.5, ring[:, 0] - 0.5, expected.shape)] = 7
    assert np.array_equal(filled, expected)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_lowest_number_has_what_two_rings_cover(order):
    squares = [np.array([[a, a], [a + 4, a], [a + 4, a + 4], [a, a + 4], [a, a]], float)
               for a in (0, 2)]  # fmt: skip
    rings = np.concatenate([squares[i] for i in order])
    numbers = np.array([1, 2], np.int32)[list(order)]

    filled = fill_rings((6, 7), rings, np.array([0, 5, 10]), numbers)

    assert filled[2:4, 2:4].tolist() == [[1, 1], [1, 1]]
    assert (filled == 2).sum() == 12
