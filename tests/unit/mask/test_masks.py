import dataclasses

import numpy as np
import pytest
from PIL import Image

from hoverfast_platform.errors import MaskError
from hoverfast_platform.mask.builtin import find_tissue
from hoverfast_platform.mask.imported import find_mask_file, load_mask
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


def test_masks_are_found_in_both_layouts(tmp_path):
    slide = tmp_path / "A.svs"
    (tmp_path / "A.svs.d").mkdir()
    plain = tmp_path / "A.png"
    plain.write_bytes(b"")
    assert find_mask_file(tmp_path, slide) == plain
    histoqc = tmp_path / "qc" / "A.svs" / "A.svs_mask_use.png"
    histoqc.parent.mkdir(parents=True)
    histoqc.write_bytes(b"")
    assert find_mask_file(tmp_path / "qc", slide) == histoqc
    with pytest.raises(MaskError, match=r"B\.svs"):
        find_mask_file(tmp_path, tmp_path / "B.svs")


def info_of(width, height):
    info = ArrayReader(np.zeros((8, 8, 3), np.uint8), mpp=0.25).info
    return dataclasses.replace(info, width=width, height=height, level_sizes=((width, height),))


def save(path, shape):
    Image.fromarray(np.ones(shape, np.bool_)).save(path)
    return path


def test_mask_of_a_size_that_does_not_divide_the_slide_is_registered(tmp_path):
    mask = load_mask(save(tmp_path / "m.png", (1873, 2998)), info_of(100_352, 62_720))

    assert mask.scale_x == pytest.approx(100_352 / 2998)
    assert mask.contains(np.array([[100_351.0, 62_719.0]])).all()


def test_mask_of_another_shape_is_refused(tmp_path):
    with pytest.raises(MaskError, match="another slide"):
        load_mask(save(tmp_path / "m.png", (100, 100)), info_of(4000, 3000))
    (tmp_path / "x.png").write_bytes(b"no image")
    with pytest.raises(MaskError, match="readable"):
        load_mask(tmp_path / "x.png", info_of(4000, 3000))


def test_full_slide_mask_is_cropped_to_the_bounds(tmp_path):
    pixels = np.zeros((100, 200), np.bool_)
    pixels[50:, 100:] = True
    Image.fromarray(pixels).save(tmp_path / "m.png")
    info = dataclasses.replace(
        info_of(800, 480), frame="bounds", origin_px=(1000, 500), level_sizes=((2000, 1000),)
    )

    mask = load_mask(tmp_path / "m.png", info)

    assert mask.is_tissue.shape == (48, 80)
    assert mask.is_tissue.all()
