"""Crowding: copies touch, hide nothing, and stand in rows as epithelium does."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from hoverfast_platform.arrays import InstanceMap, RgbImage
from hoverfast_platform.training.crowding import crowd

SEEDS = range(20)


@pytest.mark.parametrize("seed", SEEDS)
def test_crowding_adds_touching_nuclei_and_hides_none(
    nuclei_on_pink: tuple[RgbImage, InstanceMap], seed: int
) -> None:
    image, instance_map = nuclei_on_pink
    crowded, numbered = crowd(image, instance_map, np.random.default_rng(seed))
    assert numbered.max() >= instance_map.max()
    assert set(np.unique(numbered)) == set(range(int(numbered.max()) + 1))
    for number in range(1, 7):  # every true nucleus is still mostly there
        kept = np.bincount(numbered[instance_map == number])[1:].max(initial=0)
        assert kept >= 0.3 * (instance_map == number).sum()
    far_away = grown(numbered > 0) == 0
    np.testing.assert_array_equal(crowded[far_away], image[far_away])


def test_crowded_nuclei_touch(nuclei_on_pink: tuple[RgbImage, InstanceMap]) -> None:
    image, instance_map = nuclei_on_pink
    touching = 0
    for seed in SEEDS:
        _, numbered = crowd(image, instance_map, np.random.default_rng(seed))
        left, right = numbered[:, :-1], numbered[:, 1:]
        touching += int(((left != right) & (left > 0) & (right > 0)).any())
    assert touching > len(SEEDS) / 2


def test_inputs_are_not_changed(nuclei_on_pink: tuple[RgbImage, InstanceMap]) -> None:
    image, instance_map = nuclei_on_pink
    before = image.copy(), instance_map.copy()
    crowd(image, instance_map, np.random.default_rng(1))
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(instance_map, before[1])


def test_nothing_to_copy_where_every_nucleus_is_cut_by_the_edge() -> None:
    image = np.full((64, 64, 3), 180, dtype=np.uint8)
    instance_map = np.zeros((64, 64), dtype=np.int32)
    instance_map[:8, 20:30] = 1
    crowded, numbered = crowd(image, instance_map, np.random.default_rng(0))
    np.testing.assert_array_equal(numbered, instance_map)
    np.testing.assert_array_equal(crowded, image)


def test_some_copies_stand_in_a_row_with_their_long_axes_abreast() -> None:
    image = np.full((224, 224, 3), (225, 170, 200), dtype=np.uint8)
    instance_map = np.zeros((224, 224), dtype=np.int32)
    instance_map[100:112, 100:118] = 1
    image[instance_map > 0] = (90, 60, 140)
    longest = 0
    for seed in SEEDS:
        _, numbered = crowd(image, instance_map, np.random.default_rng(seed))
        lone = (numbered > 0).astype(np.uint8)
        lone[94:118, 94:124] = 0  # without the donor and what touches it
        n_pieces, pieces = cv2.connectedComponents(lone)
        of_piece = [len(np.unique(numbered[pieces == piece])) for piece in range(1, n_pieces)]
        longest = max(longest, *of_piece) if of_piece else longest
    assert longest >= 4


def grown(mask: np.ndarray) -> np.ndarray:
    """The mask grown by 4 px, to where soft edges of pasted nuclei end."""
    return cv2.dilate(mask.astype(np.uint8), np.ones((9, 9), np.uint8))
