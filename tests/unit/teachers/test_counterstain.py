"""Eosin over images of hematoxylin alone."""

import cv2
import numpy as np
import pytest

from hoverfast_platform.teachers.counterstain import counterstain

SEEDS = range(10)


@pytest.fixture
def purple():
    """Violet discs on lilac, as in slides stained with hematoxylin alone."""
    image = np.full((80, 112, 3), (180, 160, 210), dtype=np.uint8)
    labels = np.zeros((80, 112), dtype=np.int32)
    y, x = np.mgrid[:80, :112]
    for number, (cy, cx) in enumerate([(20, 20), (60, 30), (45, 90)], start=1):
        disc = (y - cy) ** 2 + (x - cx) ** 2 <= 81
        image[disc], labels[disc] = (90, 50, 150), number
    return image, labels


def _far_from_nuclei(labels):
    return cv2.dilate((labels > 0).astype(np.uint8), np.ones((15, 15))) == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_surroundings_become_pink_and_nuclei_stay_blue(purple, seed):
    image, labels = purple
    stained = counterstain(image, labels, np.random.default_rng(seed)).astype(float)
    around = stained[_far_from_nuclei(labels)].mean(axis=0)
    nuclei = stained[labels > 0].mean(axis=0)

    assert around[0] > around[1] + 10  # eosin takes green
    assert around[0] > image[0, 0, 0]  # the lilac is gone
    assert nuclei[0] < around[0] - 40  # hematoxylin takes red
    assert nuclei[2] > nuclei[0]


def test_same_generator_same_picture_another_another(purple):
    image, labels = purple
    first, again, other = (counterstain(image, labels, np.random.default_rng(s)) for s in (1, 1, 2))

    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.5


@pytest.mark.parametrize("value", [0, 255])
def test_image_of_one_colour(value):
    image = np.full((64, 48, 3), value, dtype=np.uint8)
    stained = counterstain(image, np.zeros((64, 48), np.int32), np.random.default_rng(0))
    assert stained.shape == image.shape
    assert stained[..., 0].min() > 150  # no dye: eosin alone


def test_input_is_not_changed(purple):
    image, labels = purple
    before = image.copy(), labels.copy()
    counterstain(image, labels, np.random.default_rng(0))
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(labels, before[1])
