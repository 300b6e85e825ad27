"""The squares of tissue that tell what a slide looks like."""

import numpy as np

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

    assert {box.x0 for box in reader.boxes} == {0, 256}


def test_a_large_slide_is_sampled_evenly_and_no_more_than_needed():
    height, width = 8 * SAMPLE_PX, 10 * SAMPLE_PX
    reader = Counting(noise(height, width))

    read(reader)

    assert len(reader.boxes) == MAX_SAMPLES
    assert {box.y0 for box in reader.boxes} == set(range(0, height, SAMPLE_PX))


def test_a_slide_without_tissue_needs_no_reading():
    reader = Counting(noise(300, 410))

    assert read(reader, lambda *_box: False) == []
    assert reader.boxes == []
