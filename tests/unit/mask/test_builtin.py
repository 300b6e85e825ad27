import numpy as np
import pytest

from hoverfast_platform.mask.builtin import find_tissue
from hoverfast_platform.slide import open_slide
from hoverfast_platform.slide.array_reader import ArrayReader


def test_tissue_is_found_and_dust_dropped():
    rgb = np.full((1200, 1600, 3), 243, np.uint8)
    rgb[300:900, 400:1200] = (215, 160, 195)
    rgb[50:60, 50:60] = 60
    mask = find_tissue(ArrayReader(rgb, mpp=1.0))

    points = np.array([[800.0, 600.0], [55.0, 55.0], [1500.0, 1100.0], [-5.0, 3.0]])
    assert list(mask.contains(points)) == [True, False, False, False]
    assert mask.tissue_area_mm2 == pytest.approx(0.48, rel=0.15)


@pytest.mark.parametrize("level", [255, 243, 215])
def test_blank_slide_has_an_empty_mask(level):
    noise = np.random.default_rng(0).normal(level, 2, (600, 600, 3))
    blank = np.clip(noise, 0, 255).astype(np.uint8)

    assert not find_tissue(ArrayReader(blank, mpp=1.0)).is_tissue.any()


def test_real_slide_has_a_sane_share_of_tissue(shared_data):
    with open_slide(shared_data / "slides" / "CMU-1-Small-Region.svs") as slide:
        assert 0.3 < find_tissue(slide).tissue_fraction < 0.6
