"""Compiled growth equals the plain definition."""

import numpy as np
import pytest
from scipy import ndimage

from hoverfast_platform.cells.growth import grow


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
