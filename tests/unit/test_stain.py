"""Slides are shown to the network in the strength of stain it learned from, whatever the lab."""

import numpy as np
import pytest

from hoverfast_platform.config import Appearance
from hoverfast_platform.stain import (
    REFERENCE_DENSITY,
    StainNormalisation,
    exposure_gain,
    measure_stain,
    normalisation_of,
    tissue_density,
)

STAIN = Appearance(stain_density=REFERENCE_DENSITY)


def tissue(strength=1.0, shape=(120, 150), seed=0):
    """Pink tissue with purple spots, every optical density times ``strength``."""
    rng = np.random.default_rng(seed)
    spots = rng.random(shape) < 0.3
    density = np.where(spots[..., None], (0.6, 0.8, 0.35), (0.15, 0.5, 0.25))
    density = density * rng.uniform(0.8, 1.2, (*shape, 1)) * strength
    return np.clip(256 * np.exp(-density) - 1, 0, 255).round().astype(np.uint8)


@pytest.mark.parametrize("strength", [0.6, 1.0, 1.7])
def test_one_tissue_stained_weakly_or_strongly_looks_alike(strength):
    shown = normalisation_of([tissue(strength)], STAIN).apply(tissue(strength))
    usual = normalisation_of([tissue()], STAIN).apply(tissue())

    assert np.abs(shown.astype(int) - usual).mean() < 2.5
    assert np.abs(tissue(0.6).astype(int) - tissue()).mean() > 20  # and it did not before


def test_a_normalised_image_has_the_density_of_the_reference():
    shown = normalisation_of([tissue(0.6)], STAIN).apply(tissue(0.6))

    assert sum(tissue_density([shown])) == pytest.approx(sum(REFERENCE_DENSITY), rel=0.1)


def test_stroma_alone_does_not_turn_purple():
    """Its colours are corrected by half their distance: it is red because of what it is."""
    found, target = (0.1, 0.4, 0.2), (0.2, 0.4, 0.2)

    red, green, blue = StainNormalisation.between(found, target).factors

    assert 1 < red / green < 2
    assert green == blue


def test_factors_are_bounded():
    assert max(StainNormalisation.between((0.01, 0.01, 0.01), REFERENCE_DENSITY).factors) <= 2.5


@pytest.mark.parametrize("image", [np.full((90, 98, 3), 245, np.uint8), tissue()[:10, :10]])
def test_an_image_without_tissue_to_speak_of_stays_as_it_is(image):
    normalisation = normalisation_of([image], STAIN)

    assert normalisation.changes_nothing
    assert normalisation.apply(image) is image


def test_a_model_without_a_target_sees_slides_as_they_are():
    assert normalisation_of([tissue(0.6)], Appearance()).changes_nothing


def test_glass_does_not_count():
    with_glass = np.concatenate([tissue(), np.full((300, 150, 3), 250, np.uint8)])

    assert tissue_density([with_glass]) == pytest.approx(tissue_density([tissue()]))


def test_a_dark_image_looks_like_a_bright_one():
    """As of a microscope whose lamp gives half the light; glass is grey there, not white."""
    bright = np.concatenate([tissue(), np.full((40, 150, 3), 240, np.uint8)])
    dark = (bright * 0.5).round().astype(np.uint8)
    wanted = Appearance(white_level=240, stain_density=REFERENCE_DENSITY)

    shown = normalisation_of([dark], wanted).apply(dark)
    usual = normalisation_of([bright], wanted).apply(bright)

    assert np.abs(shown.astype(int) - usual).mean() < 2
    assert np.abs(dark.astype(int) - bright).mean() > 50  # and it did not before


def test_exposure_is_never_lowered_nor_raised_without_bound():
    white, black = (np.full((50, 70, 3), value, np.uint8) for value in (250, 3))

    assert exposure_gain([white], 235) == 1.0
    assert exposure_gain([black], 235) == 3.0
    assert exposure_gain([white // 2], None) == 1.0
    assert exposure_gain([], 235) == 1.0


def test_eosin_is_not_taken_for_darkness():
    """Pink without any glass is as bright in red as its lamp."""
    pink = np.full((60, 80, 3), (235, 120, 160), np.uint8)

    assert exposure_gain([pink], 235) == 1.0


def test_strength_is_of_tissue_however_much_glass_the_mask_takes_in():
    """A wide margin of the mask must not make a slide pale, or it would differ from its cohort."""
    rgb = np.full((60, 90, 3), 243, np.uint8)
    rgb[20:40, 30:60] = np.random.default_rng(0).integers(80, 200, (20, 30, 3))
    tissue = np.zeros((60, 90), dtype=bool)
    tissue[20:40, 30:60] = True

    assert measure_stain(rgb, np.ones_like(tissue)) == measure_stain(rgb, tissue)
    assert measure_stain(rgb, ~tissue) is None
