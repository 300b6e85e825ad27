"""Every slide at hand gives a right result or the right named error."""

import shutil

import pytest

from hoverfast_platform.config import Scale
from hoverfast_platform.errors import (
    MissingMppError,
    UnreadableSlideError,
    UnsupportedScaleError,
)
from hoverfast_platform.geometry import Box
from hoverfast_platform.slide import open_slide
from hoverfast_platform.slide.resample import check_scale
from hoverfast_platform.slide.thumbnail import read_thumbnail


@pytest.mark.parametrize(
    ("name", "size", "mpp"),
    [
        ("CMU-1-Small-Region.svs", (2220, 2967), 0.499),
        ("camelyon_lowres_dicom.dcm", (1152, 700), 28.969),
        ("openslide_boxes_dicom/boxes_0.dcm", (16, 16), 0.499),
        ("openslide_small_16px.svs", (16, 16), 0.499),
    ],
)
def test_good_slides_open(shared_data, name, size, mpp):
    with open_slide(shared_data / "slides" / name) as slide:
        assert (slide.info.width, slide.info.height) == size
        assert slide.info.mpp.x == pytest.approx(mpp, rel=1e-3)
        assert read_thumbnail(slide, 100).shape[2] == 3


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("histolab_broken.svs", UnreadableSlideError),
        ("openslide_boxes.tiff", UnsupportedScaleError),
        ("TCGA-CR-7395-01A-01-TS1.svs", MissingMppError),
    ],
)
def test_others_are_refused_by_name(shared_data, name, error):
    with pytest.raises(error) as refused:
        open_slide(shared_data / "slides" / name)

    assert refused.value.remedy


def test_slide_that_opens_but_cannot_be_read(shared_data):
    slide = open_slide(shared_data / "slides" / "openslide_unreadable.svs")

    with slide, pytest.raises(UnreadableSlideError, match="damaged"):
        slide.read_level(0, Box.at_origin(width=16, height=12))


def test_override_opens_the_slide_without_mpp(shared_data):
    path = shared_data / "slides" / "TCGA-CR-7395-01A-01-TS1.svs"

    with open_slide(path, Scale(mpp_override=1.0)) as slide:
        assert slide.info.mpp_source == "override"
        with pytest.raises(UnsupportedScaleError, match="4"):
            check_scale(slide.info, 0.25, Scale())


def test_truncated_copy_is_unreadable(shared_data, tmp_path):
    path = tmp_path / "cut.svs"
    shutil.copy(shared_data / "slides" / "CMU-1-Small-Region.svs", path)
    path.write_bytes(path.read_bytes()[:400_000])

    with pytest.raises(UnreadableSlideError), open_slide(path) as slide:
        read_thumbnail(slide, 500)
