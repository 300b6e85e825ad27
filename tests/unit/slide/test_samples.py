"""The squares of tissue that tell what a slide looks like."""

import numpy as np
import pytest

from hoverfast_platform.geometry import ModelLattice
from hoverfast_platform.slide.array_reader import ArrayReader
from hoverfast_platform.slide.samples import (
    MAX_SAMPLES,
    SAMPLE_PX,
    read_samples,
    samples_of_image,
)


class Counting(ArrayReader):
    """Remembers what was read."""

    def __init__(self, rgb):
        super().__init__(rgb, mpp=0.25)
        self.boxes = []

    def read_level(self, level, box):
        self.boxes.append(box)
        return super().read_level(level, box)


def noise(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def read(reader, has_tissue=lambda *_box: True):
    info = reader.info
    lattice = ModelLattice.of(
        width=info.width, height=info.height, slide_mpp=info.mpp, model_mpp=0.25
    )
    return read_samples(reader, lattice, has_tissue)


def test_a_small_image_is_one_sample():
    rgb = noise(300, 410)

    (sample,) = read(Counting(rgb))

    assert np.array_equal(sample, rgb)


def test_larger_ones_are_cut_without_loss_or_overlap():
    rgb = noise(768, 1024)

    samples = read(Counting(rgb))

    rows = [np.concatenate(samples[i : i + 4], axis=1) for i in range(0, 12, 4)]
    assert np.array_equal(np.concatenate(rows, axis=0), rgb)


def test_an_image_by_itself_gives_what_it_would_as_a_slide():
    rgb = noise(300, 410)

    both = zip(samples_of_image(rgb), read(Counting(rgb)), strict=True)

    assert all(np.array_equal(a, b) for a, b in both)


def test_only_squares_of_tissue_are_read():
    reader = Counting(noise(512, 1024))

    read(reader, lambda x0, *_rest: x0 < 512)

    squares = [box for box in reader.boxes if box.width == SAMPLE_PX]
    assert {box.x0 for box in squares} == {0, 256}


def test_a_large_slide_is_sampled_evenly_and_no_more_than_needed():
    height, width = 8 * SAMPLE_PX, 10 * SAMPLE_PX
    reader = Counting(noise(height, width))

    read(reader)

    squares = [box for box in reader.boxes if box.width == box.height == SAMPLE_PX]
    assert len(squares) == MAX_SAMPLES
    assert {box.y0 for box in squares} == set(range(0, height, SAMPLE_PX))


def strewn(n_x, n_y, glass):
    """Squares of tissue with a square of glass on every side of each, and white without a scan."""
    rgb = np.full((SAMPLE_PX * (2 * n_y + 1), SAMPLE_PX * (2 * n_x + 2), 3), glass, np.uint8)
    for row in range(n_y):
        for column in range(n_x):
            y, x = SAMPLE_PX * (2 * row + 1), SAMPLE_PX * (2 * column + 1)
            rgb[y : y + SAMPLE_PX, x : x + SAMPLE_PX] = noise(SAMPLE_PX, SAMPLE_PX) // 2 + 40
    rgb[:, -SAMPLE_PX:] = 255
    return rgb


@pytest.mark.parametrize("glass", [205, 225, 243])
def test_glass_in_a_wide_margin_of_the_mask_changes_no_sample(glass):
    rgb = strewn(3, 2, glass)

    def samples(margin_px):
        def has_tissue(x0, y0, x1, y1):
            height, width = rgb.shape[:2]
            x0, y0 = int(max(0, x0 - margin_px)), int(max(0, y0 - margin_px))
            x1, y1 = int(min(width, x1 + margin_px)), int(min(height, y1 + margin_px))
            return bool((rgb[y0:y1, x0:x1].max(axis=2) < glass).any())

        return read(Counting(rgb), has_tissue)

    narrow, wide = samples(0), samples(200)
    assert len(narrow) == len(wide) == 6
    assert all(np.array_equal(a, b) for a, b in zip(narrow, wide, strict=True))
    assert max(sample.max() for sample in wide) < glass


def test_where_all_squares_are_mostly_glass_the_fullest_ones_are_taken():
    rgb = np.full((4 * SAMPLE_PX, 3 * SAMPLE_PX, 3), 240, np.uint8)
    for i in range(4):  # a tenth of one square in each row, and a hundredth of another
        rgb[i * SAMPLE_PX + 100 : i * SAMPLE_PX + 180, 280:360] = 120
        rgb[i * SAMPLE_PX + 100 : i * SAMPLE_PX + 125, 20:45] = 120

    samples = read(Counting(rgb))

    assert len(samples) == 4
    assert all((sample == 120).all(axis=2).sum() == 80 * 80 for sample in samples)


def test_a_slide_without_tissue_needs_no_reading():
    reader = Counting(noise(300, 410))

    assert read(reader, lambda *_box: False) == []
    assert reader.boxes == []
