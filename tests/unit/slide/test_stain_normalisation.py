"""Slides are shown to the network in the strength of stain it learned from, whatever the lab."""

import numpy as np
import pytest

from hoverfast_platform.geometry import ModelLattice
from hoverfast_platform.slide.array_reader import ArrayReader
from hoverfast_platform.slide.stain_normalisation import (
    MAX_SAMPLES,
    REFERENCE_DENSITY,
    SAMPLE_PX,
    StainNormalisation,
    normalisation_of_image,
    normalisation_of_slide,
    tissue_density,
)


def tissue(strength=1.0, shape=(120, 150), seed=0):
    """Pink tissue with purple spots, every optical density times ``strength``."""
    rng = np.random.default_rng(seed)
    spots = rng.random(shape) < 0.3
    density = np.where(spots[..., None], (0.6, 0.8, 0.35), (0.15, 0.5, 0.25))
    density = density * rng.uniform(0.8, 1.2, (*shape, 1)) * strength
    return np.clip(256 * np.exp(-density) - 1, 0, 255).round().astype(np.uint8)


@pytest.mark.parametrize("strength", [0.6, 1.0, 1.7])
def test_one_tissue_stained_weakly_or_strongly_looks_alike(strength):
    shown = normalisation_of_image(tissue(strength), REFERENCE_DENSITY).apply(tissue(strength))
    usual = normalisation_of_image(tissue(), REFERENCE_DENSITY).apply(tissue())

    assert np.abs(shown.astype(int) - usual).mean() < 2.5
    assert np.abs(tissue(0.6).astype(int) - tissue()).mean() > 20  # and it did not before


def test_a_normalised_image_has_the_density_of_the_reference():
    shown = normalisation_of_image(tissue(0.6), REFERENCE_DENSITY).apply(tissue(0.6))

    assert sum(tissue_density([shown])) == pytest.approx(sum(REFERENCE_DENSITY), rel=0.1)


def test_stroma_alone_does_not_turn_purple():
    """Its colours are corrected by half their distance: it is red because of what it is."""
    found, target = (0.1, 0.4, 0.2), (0.2, 0.4, 0.2)

    red, green, blue = StainNormalisation.between(found, target).factors

    assert 1 < red / green < 2
    assert green == blue


def test_factors_are_bounded():
    assert max(StainNormalisation.between((0.01, 0.01, 0.01), REFERENCE_DENSITY).factors) <= 2.5


@pytest.mark.parametrize("image", [np.full((90, 90, 3), 245, np.uint8), tissue()[:10, :10]])
def test_an_image_without_tissue_to_speak_of_stays_as_it_is(image):
    normalisation = normalisation_of_image(image, REFERENCE_DENSITY)

    assert normalisation.changes_nothing
    assert normalisation.apply(image) is image


def test_a_model_without_a_target_sees_slides_as_they_are():
    assert normalisation_of_image(tissue(0.6), None).changes_nothing


def test_glass_does_not_count():
    with_glass = np.concatenate([tissue(), np.full((300, 150, 3), 250, np.uint8)])

    assert tissue_density([with_glass]) == pytest.approx(tissue_density([tissue()]))


def _of_slide(rgb, has_tissue=lambda *_box: True):
    reader = ArrayReader(rgb, mpp=0.25)
    lattice = ModelLattice.of(
        width=rgb.shape[1], height=rgb.shape[0], slide_mpp=reader.info.mpp, model_mpp=0.25
    )
    return normalisation_of_slide(reader, lattice, has_tissue, REFERENCE_DENSITY)


def test_a_small_slide_is_measured_as_the_image_it_is():
    rgb = tissue(0.7, (300, 410))

    assert _of_slide(rgb).factors == pytest.approx(
        normalisation_of_image(rgb, REFERENCE_DENSITY).factors, abs=2e-4
    )


def test_only_squares_of_tissue_are_looked_at():
    rgb = np.concatenate([tissue(0.7, (512, 512)), tissue(2.0, (512, 512))], axis=1)

    upper_left = _of_slide(rgb, lambda x0, *_rest: x0 < 512)

    assert upper_left.factors == pytest.approx(
        normalisation_of_image(tissue(0.7, (512, 512)), REFERENCE_DENSITY).factors, abs=2e-4
    )


def test_a_large_slide_is_sampled_evenly_and_no_more_than_needed():
    side = 8 * SAMPLE_PX

    class Counting(ArrayReader):
        boxes: list = []  # noqa: RUF012 - one reader in this test

        def read_level(self, level, box):
            self.boxes.append(box)
            return super().read_level(level, box)

    reader = Counting(tissue(0.8, (side, side)), mpp=0.25)
    lattice = ModelLattice.of(width=side, height=side, slide_mpp=reader.info.mpp, model_mpp=0.25)

    normalisation_of_slide(reader, lattice, lambda *_box: True, REFERENCE_DENSITY)

    assert len(reader.boxes) == MAX_SAMPLES
    assert {box.y0 for box in reader.boxes} == set(range(0, side, SAMPLE_PX))


def test_a_slide_without_tissue_needs_no_reading():
    assert _of_slide(tissue(), lambda *_box: False).changes_nothing
