"""Masks of other programs, among them outputs of the real HistoQC where they are present."""

import dataclasses
import shutil

import numpy as np
import pytest
from PIL import Image

from hoverfast_platform.config import MaskImport, Scale
from hoverfast_platform.errors import MaskError
from hoverfast_platform.geometry import Box
from hoverfast_platform.mask.findings import Finding
from hoverfast_platform.mask.histoqc_output import read_row
from hoverfast_platform.mask.imported import find_mask_file, load_mask
from hoverfast_platform.mask.statistics import mask_statistics
from hoverfast_platform.slide import open_slide
from hoverfast_platform.slide.array_reader import ArrayReader

CMU = "CMU-1-Small-Region.svs"


def info_of(width, height):
    info = ArrayReader(np.zeros((8, 8, 3), np.uint8), mpp=0.25).info
    return dataclasses.replace(
        info, name="A.svs", width=width, height=height, level_sizes=((width, height),)
    )


def with_bounds(width, height, *, at, full):
    return dataclasses.replace(
        info_of(width, height), frame="bounds", origin_px=at, level_sizes=(full,)
    )


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def test_masks_are_found_in_both_layouts(tmp_path):
    slide = tmp_path / "A.svs"
    plain = save(tmp_path / "A.png", np.ones((2, 2), np.bool_))
    assert find_mask_file(tmp_path, slide) == plain
    histoqc = save(tmp_path / "qc" / "A.svs" / "A.svs_mask_use.png", np.ones((2, 2), np.bool_))
    assert find_mask_file(tmp_path / "qc", slide) == histoqc
    with pytest.raises(MaskError, match=r"B\.svs"):
        find_mask_file(tmp_path, tmp_path / "B.svs")


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_masks_are_found_by_a_table(tmp_path, suffix):
    mask = save(tmp_path / "m" / "x.png", np.ones((2, 2), np.bool_))
    table = tmp_path / f"t{suffix}"
    table.write_text(
        "slide,mask\nA.svs,m/x.png\nB,m/x.png\n".replace(",", {".csv": ","}.get(suffix, "\t"))
    )

    assert find_mask_file(table, tmp_path / "A.svs") == mask
    assert find_mask_file(table, tmp_path / "B.ndpi") == mask
    with pytest.raises(MaskError, match="no mask"):
        find_mask_file(table, tmp_path / "C.svs")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no column slide"),
        ("name,file\nA.svs,x.png\n", "no column mask"),
        ("slide,mask\nA.svs,x.png\nA,y.png\n", "2 different"),
        ("slide,mask\nA.svs,gone.png\n", "does not exist"),
    ],
)
def test_wrong_table_is_refused(tmp_path, text, said):
    (tmp_path / "t.csv").write_text(text)

    with pytest.raises(MaskError, match=said):
        find_mask_file(tmp_path / "t.csv", tmp_path / "A.svs")


def test_mask_of_a_size_that_does_not_divide_the_slide_is_registered(tmp_path):
    path = save(tmp_path / "m.png", np.ones((1873, 2998), np.bool_))
    mask = load_mask(path, info_of(100_352, 62_720))

    assert mask.scale_x == pytest.approx(100_352 / 2998)
    assert mask.contains(np.array([[100_351.0, 62_719.0]])).all()


def test_mask_of_another_shape_is_refused(tmp_path):
    with pytest.raises(MaskError, match="another slide"):
        load_mask(save(tmp_path / "m.png", np.ones((100, 100), np.bool_)), info_of(4000, 3000))
    with pytest.raises(MaskError, match="turned by 90 degrees"):
        load_mask(save(tmp_path / "m.png", np.ones((400, 300), np.bool_)), info_of(4000, 3000))
    (tmp_path / "x.png").write_bytes(b"no image")
    with pytest.raises(MaskError, match="readable"):
        load_mask(tmp_path / "x.png", info_of(4000, 3000))


def test_empty_mask_is_refused_unless_allowed(tmp_path):
    path = save(tmp_path / "m.png", np.zeros((30, 40), np.bool_))

    with pytest.raises(MaskError, match="All of it is black"):
        load_mask(path, info_of(4000, 3000))
    assert not load_mask(path, info_of(4000, 3000), MaskImport(allow_empty=True)).is_tissue.any()


def test_levels_of_zero_and_one_and_class_maps_are_read(tmp_path):
    pixels = np.zeros((30, 40), np.uint8)
    pixels[:15] = 1
    path = save(tmp_path / "m.png", pixels)
    assert load_mask(path, info_of(4000, 3000)).tissue_fraction == 0.5

    pixels[20:] = 7
    save(path, pixels)
    with pytest.raises(MaskError, match="class map"):
        load_mask(path, info_of(4000, 3000))
    chosen = load_mask(path, info_of(4000, 3000), MaskImport(tissue_levels=(1,)))
    assert chosen.tissue_fraction == 0.5


def test_full_slide_mask_is_cut_to_the_bounds(tmp_path):
    pixels = np.zeros((100, 200), np.bool_)
    pixels[50:, 100:] = True
    info = with_bounds(800, 480, at=(1000, 500), full=(2000, 1000))

    mask = load_mask(save(tmp_path / "m.png", pixels), info)

    assert mask.is_tissue.shape == (48, 80)
    assert mask.is_tissue.all()
    assert (mask.frame, mask.origin_px) == ("bounds", (1000, 500))


def test_mask_that_may_show_slide_or_bounds_is_refused_until_told(tmp_path):
    pixels = np.zeros((50, 100), np.bool_)
    pixels[:, :50] = True
    path = save(tmp_path / "m.png", pixels)
    info = with_bounds(1000, 500, at=(0, 0), full=(2000, 1000))

    with pytest.raises(MaskError, match="shape of both"):
        load_mask(path, info)
    assert load_mask(path, info, MaskImport(frame="bounds")).tissue_fraction == 0.5
    assert load_mask(path, info, MaskImport(frame="full")).tissue_fraction == 1.0


def test_histoqc_says_which_part_of_a_slide_its_mask_shows(tmp_path):
    """The very case above, decided by the bounding box in results.tsv."""
    pixels = np.zeros((50, 100), np.bool_)
    pixels[:, :50] = True
    path = save(tmp_path / "A.svs" / "A.svs_mask_use.png", pixels)
    info = with_bounds(1000, 500, at=(0, 0), full=(2000, 1000))
    header = "#dataset:filename\timage_bounding_box\tcomment\twarnings\n"

    (tmp_path / "results.tsv").write_text(header + "A.svs\t(0, 0, 1000, 500)\t-\t\n")
    assert load_mask(path, info).tissue_fraction == 0.5
    (tmp_path / "results.tsv").write_text(header + "A.svs\t(0, 0, 2000, 1000)\t-\t\n")
    assert load_mask(path, info).tissue_fraction == 1.0
    (tmp_path / "results.tsv").write_text(header + "A.svs\t(0, 0, 9000, 4500)\t-\t\n")
    with pytest.raises(MaskError, match="another slide of this name"):
        load_mask(path, info)


def test_line_longer_than_the_header_is_not_misread(tmp_path):
    """HistoQC writes one header for slides whose lines differ."""
    (tmp_path / "results.tsv").write_text(
        "#dataset:filename\timage_bounding_box\tcomment\tx\twarnings\n"
        "A.svs\t(0, 0, 10, 20)\tc\t1\t2\t3\t|slow|NO tissue\n"
    )

    row = read_row(tmp_path, "A.svs")

    assert not row.is_aligned
    assert row.columns == {"filename": "A.svs", "image_bounding_box": "(0, 0, 10, 20)"}
    assert row.box == Box.of(x=0, y=0, width=10, height=20)
    assert row.warnings == ("slow", "NO tissue")


def test_slide_that_histoqc_failed_on_is_named_with_its_log(tmp_path):
    """All that HistoQC leaves of a failure is an empty folder and a line in its log."""
    (tmp_path / "A.svs").mkdir()
    (tmp_path / "error.log").write_text("2026 - ERROR - A.svs - no magnification\nother\n")

    with pytest.raises(MaskError, match=r"HistoQC failed on A\.svs.*no magnification"):
        find_mask_file(tmp_path, tmp_path / "in" / "A.svs")


def cmu(shared_data, run):
    folder = shared_data / "histoqc_outputs" / run
    with open_slide(shared_data / "slides" / CMU) as slide:
        return load_mask(find_mask_file(folder, shared_data / "slides" / CMU), slide.info)


def test_recorded_histoqc_mask_is_read_with_reasons_and_columns(shared_data):
    mask = cmu(shared_data, "rec_nopen")

    assert mask.is_tissue.shape == (185, 138)
    assert (mask.scale_x, mask.scale_y) == pytest.approx((16.087, 16.038), abs=1e-3)
    assert mask.tissue_fraction == pytest.approx(0.4931, abs=1e-4)
    assert mask.provenance["columns"]["base_mag"] == "20.0"
    assert set(mask_statistics(mask).lost_fraction) <= {"blur", "fold_dark", "bubble", "speck"}


@pytest.mark.parametrize("run", ["small_default", "small_v21"])
def test_mask_that_histoqc_emptied_is_refused_with_the_reason(shared_data, run):
    with pytest.raises(MaskError, match="empty small slides"):
        cmu(shared_data, run)


def test_pen_that_histoqc_found_is_split_into_tissue_and_glass(shared_data, tmp_path):
    name = "synth_artefact_20x.svs"
    slide = shared_data / "histoqc_inputs" / name
    with open_slide(slide) as reader:
        mask = load_mask(
            find_mask_file(shared_data / "histoqc_outputs" / "rec_small", slide), reader.info
        )

    found = set(np.unique(mask.findings))
    assert {Finding.PEN, Finding.PEN_ON_GLASS, Finding.BLUR} <= found
    assert mask_statistics(mask).lost_fraction["blur"] > 0.05


def test_histoqc_mask_of_another_slide_is_refused(shared_data, tmp_path):
    """Copied under the wrong name, as happens when slides are renamed."""
    tcga = "TCGA-CR-7395-01A-01-TS1.svs"
    source = shared_data / "histoqc_outputs" / "rec_small_tcga" / tcga
    shutil.copytree(source, tmp_path / CMU)
    (tmp_path / CMU / f"{tcga}_mask_use.png").rename(tmp_path / CMU / f"{CMU}_mask_use.png")

    with open_slide(shared_data / "slides" / CMU, Scale()) as slide:
        path = find_mask_file(tmp_path, shared_data / "slides" / CMU)
        with pytest.raises(MaskError, match="another slide"):
            load_mask(path, slide.info)
