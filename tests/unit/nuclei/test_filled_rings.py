"""Compiled drawing equals the plain definition."""

import numpy as np
import pytest
from skimage.draw import polygon

from hoverfast_platform.nuclei.filled_rings import fill_rings


def test_rings_are_filled_where_centres_lie_inside():
    rng = np.random.default_rng(5)
    angles = np.sort(rng.uniform(0, 2 * np.pi, 9))
    ring = np.stack([20 + 15 * np.cos(angles), 11 + 13 * np.sin(angles)], axis=1)
    ring = np.concatenate([ring, ring[:1]])

    filled = np.zeros((23, 41), np.int32)
    fill_rings(filled, ring, np.array([0, len(ring)]), np.array([7], np.int32))

    expected = np.zeros((23, 41), np.int32)
    expected[polygon(ring[:, 1] - 0.5, ring[:, 0] - 0.5, expected.shape)] = 7
    assert np.array_equal(filled, expected)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_lowest_number_has_what_two_rings_cover(order):
    squares = [np.array([[a, a], [a + 4, a], [a + 4, a + 4], [a, a + 4], [a, a]], float)
               for a in (0, 2)]  # fmt: skip
    rings = np.concatenate([squares[i] for i in order])
    numbers = np.array([1, 2], np.int32)[list(order)]

    filled = np.zeros((6, 7), np.int32)
    fill_rings(filled, rings, np.array([0, 5, 10]), numbers)

    assert filled[2:4, 2:4].tolist() == [[1, 1], [1, 1]]
    assert (filled == 2).sum() == 12
