"""Ids that are coded as colours."""

import numpy as np
import pytest
from PIL import Image

from hoverfast_platform.errors import LabelError
from hoverfast_platform.storage.flat_images import read_instance_map


def nuclei():
    """Twelve squares of 8 px, two of which touch."""
    instances = np.zeros((60, 84), np.int32)
    for number in range(12):
        y, x = 5 + number // 4 * 18, 4 + number % 4 * 20
        instances[y : y + 8, x : x + 8] = number + 1
    instances[5:13, 12:20] = 13
    return instances


def saved(path, instances, palette):
    Image.fromarray(palette[instances]).save(path)
    return path


def colours(n, seed=0):
    palette = np.random.default_rng(seed).permutation(256)[: 3 * n].reshape(n, 3).astype(np.uint8)
    palette[0] = 0
    return palette


@pytest.mark.parametrize("coding", ["red first", "blue first", "any colours"])
def test_every_colour_is_a_nucleus_however_it_codes_its_id(tmp_path, coding):
    instances = nuclei()
    ids = np.arange(14)[:, None] * 70
    palette = {
        "red first": (ids >> np.array([0, 8, 16])) & 255,
        "blue first": (ids >> np.array([16, 8, 0])) & 255,
        "any colours": colours(14),
    }[coding].astype(np.uint8)

    found = read_instance_map(saved(tmp_path / "a.png", instances, palette))

    assert np.array_equal(found > 0, instances > 0)
    pairs = {*zip(found.ravel().tolist(), instances.ravel().tolist(), strict=True)}
    assert len(pairs) == 14


def test_colours_of_classes_are_refused(tmp_path):
    classes = np.array([0, *(1 + i % 3 for i in range(13))])
    path = saved(tmp_path / "a.png", classes[nuclei()], colours(4))

    with pytest.raises(LabelError, match=r"3 colours in 1[0-9] pieces"):
        read_instance_map(path)


def test_a_picture_is_refused(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 255, (60, 84, 3), dtype=np.uint8)
    rgb[:20] = 0
    Image.fromarray(rgb).save(tmp_path / "a.png")

    with pytest.raises(LabelError, match="fewer than 4 pixels"):
        read_instance_map(tmp_path / "a.png")


def test_a_ground_that_is_not_black_is_refused(tmp_path):
    palette = colours(14)
    palette[0] = (255, 255, 254)

    with pytest.raises(LabelError, match="not black"):
        read_instance_map(saved(tmp_path / "a.png", nuclei(), palette))
