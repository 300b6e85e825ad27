import numpy as np
import pytest

from hoverfast_platform.errors import SettingsError
from hoverfast_platform.geometry import Box
from hoverfast_platform.slide import open_slide
from hoverfast_platform.synthetic import write_synthetic_slide


def test_slide_opens_with_its_scale_and_levels(tmp_path):
    path = tmp_path / "s.tiff"
    truth = write_synthetic_slide(path, width_px=1200, height_px=900, seed=1)

    with open_slide(path) as slide:
        assert (slide.info.width, slide.info.height) == (1200, 900)
        assert slide.info.mpp.x == pytest.approx(0.25, rel=1e-3)
        assert len(slide.info.level_sizes) == 3
        rgb = slide.read_level(0, Box.at_origin(width=1200, height=900)).astype(int)
    x, y = truth.centroid_xy.astype(int).T
    assert len(truth.centroid_xy) > 100
    assert rgb[y, x].mean() < 140
    assert rgb[:20, :20].mean() > 235


def test_equal_seeds_give_equal_slides(tmp_path):
    for name in "ab":
        write_synthetic_slide(tmp_path / f"{name}.tiff", width_px=336, height_px=300, seed=3)

    with open_slide(tmp_path / "a.tiff") as a, open_slide(tmp_path / "b.tiff") as b:
        box = Box.at_origin(width=336, height=300)
        assert np.array_equal(a.read_level(0, box), b.read_level(0, box))


def test_tissue_that_does_not_fit_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="tissue_fraction"):
        write_synthetic_slide(tmp_path / "s.tiff", width_px=13, height_px=9, tissue_fraction=1.0)
