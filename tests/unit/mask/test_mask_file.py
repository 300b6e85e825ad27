import dataclasses

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from hoverfast_platform.errors import ArrayContractError, MaskError
from hoverfast_platform.mask.findings import Finding
from hoverfast_platform.mask.imported import load_mask
from hoverfast_platform.mask.ink import name_ink_on_glass
from hoverfast_platform.mask.mask_file import mask_record, read_record, write_mask
from hoverfast_platform.mask.picture import draw_quality
from hoverfast_platform.mask.statistics import mask_statistics
from hoverfast_platform.mask.tissue_mask import TissueMask
from hoverfast_platform.slide.array_reader import ArrayReader


def slide_info(width=1600, height=1000, mpp=0.5):
    info = ArrayReader(np.zeros((8, 8, 3), np.uint8), mpp=mpp).info
    return dataclasses.replace(info, width=width, height=height, level_sizes=((width, height),))


def example(info=None):
    """A quarter is tissue; of it 10 rows are lost to blur and 5 remarked on as folds."""
    is_tissue = np.zeros((100, 160), np.bool_)
    is_tissue[:50, :80] = True
    findings = np.zeros((100, 160), np.uint8)
    findings[:10, :80] = Finding.BLUR
    is_tissue[:10] = False
    findings[10:15, :80] = Finding.FOLD_DARK
    findings[90:, 100:] = Finding.PEN_ON_GLASS
    return TissueMask.of_slide(
        info or slide_info(),
        is_tissue,
        "builtin",
        provenance={"threshold": 0.03},
        findings=findings,
        warnings=("soft",),
    )


def test_mask_comes_back_from_its_file_whole(tmp_path):
    mask = example()
    path = tmp_path / "m.png"
    write_mask(path, mask, mask_record(mask, "a.svs", "ab" * 32))

    back = load_mask(path, slide_info(), slide_sha256="ab" * 32)

    assert (back.is_tissue == mask.is_tissue).all()
    assert (back.findings == mask.findings).all()
    assert back.digest() == mask.digest()
    assert (back.engine, back.provenance, back.warnings) == (
        mask.engine,
        mask.provenance,
        mask.warnings,
    )
    assert read_record(path).statistics == mask_statistics(mask)
    assert path.stat().st_size < 2000


def test_another_program_sees_usable_tissue_above_half_grey(tmp_path):
    mask = example()
    write_mask(tmp_path / "m.png", mask, mask_record(mask, "a.svs", ""))

    with Image.open(tmp_path / "m.png") as image:
        assert ((np.asarray(image.convert("L")) > 127) == mask.is_tissue).all()


def test_mask_of_other_content_or_size_is_refused(tmp_path):
    mask = example()
    path = tmp_path / "m.png"
    write_mask(path, mask, mask_record(mask, "a.svs", "ab" * 32))

    with pytest.raises(MaskError, match="other content"):
        load_mask(path, slide_info(), slide_sha256="cd" * 32)
    # Twice the size has the same shape: only the record tells.
    with pytest.raises(MaskError, match="1600x1000 px, frame at"):
        load_mask(path, slide_info(3200, 2000))


def test_mask_resized_by_another_program_is_refused(tmp_path):
    mask = example()
    path = tmp_path / "m.png"
    write_mask(path, mask, mask_record(mask, "a.svs", ""))
    with Image.open(path) as image:
        image.load()
        half = image.resize((80, 50))
        text = PngInfo()
        text.add_itxt("hoverfast-mask", image.text["hoverfast-mask"])
    half.save(path, pnginfo=text)

    with pytest.raises(MaskError, match="80x50 px, its record speaks of 160x100"):
        load_mask(path, slide_info())


@pytest.mark.parametrize("keep_bytes", [0, 30, 200])
def test_damaged_file_is_refused(tmp_path, keep_bytes):
    path = tmp_path / "m.png"
    write_mask(path, example(), mask_record(example(), "a.svs", ""))
    path.write_bytes(path.read_bytes()[:keep_bytes])

    with pytest.raises(MaskError, match="readable"):
        load_mask(path, slide_info())


def test_record_that_expands_a_thousandfold_is_refused(tmp_path):
    text = PngInfo()
    text.add_itxt("hoverfast-mask", " " * 30_000_000, zip=True)
    Image.new("L", (160, 100), 255).save(tmp_path / "m.png", pnginfo=text)
    assert (tmp_path / "m.png").stat().st_size < 100_000

    with pytest.raises(MaskError, match="readable"):
        load_mask(tmp_path / "m.png", slide_info())


def test_image_too_large_for_a_mask_is_refused(tmp_path):
    Image.new("1", (20_000, 8_000)).save(tmp_path / "m.png")

    with pytest.raises(MaskError, match="too large"):
        load_mask(tmp_path / "m.png", slide_info(20_000, 8_000))


def test_statistics_tell_losses_from_remarks():
    statistics = mask_statistics(example())
    pixel_mm2 = (10 * 0.5) ** 2 * 1e-6

    assert statistics.tissue_area_mm2 == pytest.approx(40 * 80 * pixel_mm2)
    assert statistics.lost_fraction == {"blur": pytest.approx(0.2)}
    assert statistics.remarked_area_mm2 == {"fold_dark": pytest.approx(5 * 80 * pixel_mm2)}
    assert statistics.glass_ink_mm2 == pytest.approx(10 * 60 * pixel_mm2)
    assert statistics.n_pieces == 1
    assert statistics.largest_piece_mm2 == pytest.approx(statistics.tissue_area_mm2)


def of_pixels(is_tissue, findings=None, mpp=8.0):
    height, width = is_tissue.shape
    info = slide_info(width, height, mpp)
    return TissueMask.of_slide(info, is_tissue, "builtin", provenance={}, findings=findings)


def test_ink_covers_what_is_nearest_to_it():
    """A stroke that leaves the tissue is tissue lost as far as the tissue goes."""
    is_tissue = np.zeros((60, 64), np.bool_)
    is_tissue[:30] = True
    findings = np.zeros((60, 64), np.uint8)
    findings[:, 25:35] = Finding.PEN
    is_tissue &= findings == 0

    named = name_ink_on_glass(findings, is_tissue)

    assert (named[:24, 25:35] == Finding.PEN).all()
    assert (named[36:, 25:35] == Finding.PEN_ON_GLASS).all()


def test_findings_of_another_shape_are_refused():
    with pytest.raises(ArrayContractError, match="Findings"):
        of_pixels(np.ones((4, 4), np.bool_), np.zeros((2, 2), np.uint8))


def test_picture_shows_each_finding_in_its_colour_and_fits_any_width():
    picture = draw_quality(np.full((50, 80, 3), 200, np.uint8), example())

    assert picture.shape[0] > 50
    assert picture.shape[1] == 300
    red, green, blue = picture[2, 20].astype(int)
    assert red > 200 > blue  # blur is orange
    assert green < red
