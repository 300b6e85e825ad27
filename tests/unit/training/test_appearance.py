"""Contrast of nuclei varied: what may change in a picture and what may not."""

from __future__ import annotations

import numpy as np
import pytest

from hoverfast_platform.arrays import InstanceMap, RgbImage
from hoverfast_platform.training.appearance import vary_contrast

SEEDS = range(20)


def red_of(image: RgbImage, where: np.ndarray) -> float:
    return float(image[..., 0][where].mean())


@pytest.mark.parametrize("seed", SEEDS)
def test_nuclei_stay_darker_than_their_surroundings(
    nuclei_on_pink: tuple[RgbImage, InstanceMap], seed: int
) -> None:
    image, instance_map = nuclei_on_pink
    varied = vary_contrast(image, instance_map, np.random.default_rng(seed))
    assert red_of(varied, instance_map > 0) < red_of(varied, instance_map == 0) - 5


def test_contrast_varies_both_ways(nuclei_on_pink: tuple[RgbImage, InstanceMap]) -> None:
    image, instance_map = nuclei_on_pink
    nuclei, around = instance_map > 0, instance_map == 0
    varied = [vary_contrast(image, instance_map, np.random.default_rng(seed)) for seed in SEEDS]
    of_nuclei = [red_of(one, nuclei) for one in varied]
    of_surroundings = [red_of(one, around) for one in varied]
    assert min(of_nuclei) < red_of(image, nuclei) < max(of_nuclei)
    assert min(of_surroundings) < red_of(image, around) < max(of_surroundings)


def test_glass_stays_clear(nuclei_on_pink: tuple[RgbImage, InstanceMap]) -> None:
    image, instance_map = nuclei_on_pink
    image = image.copy()
    image[:, 110:] = 255
    varied = vary_contrast(image, instance_map, np.random.default_rng(0))
    assert varied[:, 114:].min() >= 250


@pytest.mark.parametrize("number", [0, 1])
def test_all_background_or_all_nucleus_is_left_alone(number: int) -> None:
    image = np.full((64, 64, 3), 180, dtype=np.uint8)
    instance_map = np.full((64, 64), number, dtype=np.int32)
    np.testing.assert_array_equal(
        vary_contrast(image, instance_map, np.random.default_rng(0)), image
    )


def test_a_rim_stays_between_vesicular_nuclei_that_touch() -> None:
    image = np.full((96, 96, 3), (225, 170, 200), dtype=np.uint8)
    instance_map = np.zeros((96, 96), dtype=np.int32)
    instance_map[30:66, 20:48], instance_map[30:66, 48:76] = 1, 2
    image[instance_map > 0] = (90, 60, 140)
    rims = []
    for seed in range(40):
        red = vary_contrast(image, instance_map, np.random.default_rng(seed))[..., 0].astype(int)
        middles = (red[48, 34], red[48, 62])
        if min(middles) > red[48, 21] + 10:  # both are vesicular
            rims.append(min(middles) - red[48, 47:49].mean())
    assert len(rims) >= 3
    assert min(rims) > 5


def test_inputs_are_not_changed(nuclei_on_pink: tuple[RgbImage, InstanceMap]) -> None:
    image, instance_map = nuclei_on_pink
    before = image.copy(), instance_map.copy()
    vary_contrast(image, instance_map, np.random.default_rng(1))
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(instance_map, before[1])
