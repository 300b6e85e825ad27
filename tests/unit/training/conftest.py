"""Pictures with known nuclei for training's tests."""

from __future__ import annotations

import numpy as np
import pytest

from hoverfast_platform.arrays import InstanceMap, RgbImage


@pytest.fixture
def nuclei_on_pink() -> tuple[RgbImage, InstanceMap]:
    """Six blue discs of 16 px on pink, 96 px high and 128 px wide."""
    image = np.full((96, 128, 3), (225, 170, 200), dtype=np.uint8)
    instance_map = np.zeros((96, 128), dtype=np.int32)
    y, x = np.mgrid[:96, :128]
    centres = [(cy, cx) for cy in (25, 90) for cx in (25, 64, 100)]
    for number, (cy, cx) in enumerate(centres):
        disc = (y - cy) ** 2 + (x - cx) ** 2 <= 64
        image[disc] = (90, 60, 140)
        instance_map[disc] = number + 1
    return image, instance_map
