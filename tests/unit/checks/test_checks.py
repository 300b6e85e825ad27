"""What the checks of a slide let pass, and what they say of the rest."""

import gzip
import json

import numpy as np
import pytest

from hoverfast_platform.catalogue import AppearanceRecord
from hoverfast_platform.checks.policy import (
    CheckPolicy,
    DensityCheck,
    DriftCheck,
    MaskCheck,
    QuPathCheck,
    SeamCheck,
    read_policy,
)
from hoverfast_platform.checks.rules import (
    check_density,
    check_drift,
    check_mask,
    check_qupath_file,
    check_seams,
)
from hoverfast_platform.errors import SettingsError
from hoverfast_platform.mask.statistics import MaskStatistics
from hoverfast_platform.stain import measure_stain
from hoverfast_platform.storage.summary import Seams, SegmentationSummary


def summary(*, density=3000.0, tissue_mm2=10.0, near=1000, doubled=0, ratio=1.0):
    return SegmentationSummary.model_construct(
        nuclei_per_mm2=density,
        tissue_area_mm2=tissue_mm2,
        seams=Seams(n_near_seams=near, n_duplicates=doubled, density_ratio=ratio),
    )


def mask(tissue_mm2, slide_mm2=10.0, **lost_mm2):
    total = tissue_mm2 + sum(lost_mm2.values())
    return MaskStatistics(
        slide_area_mm2=slide_mm2,
        tissue_area_mm2=tissue_mm2,
        lost_area_mm2=lost_mm2,
        lost_fraction={label: area / total for label, area in lost_mm2.items()},
        remarked_area_mm2={},
        glass_ink_mm2=0.0,
        n_pieces=1,
        largest_piece_mm2=tissue_mm2,
    )


@pytest.mark.parametrize(
    ("statistics", "passed", "text"),
    [
        (mask(3.0), True, "30.0% of the slide is tissue, 0.0% of it was lost"),
        (mask(0.0), False, "no usable tissue"),
        (mask(0.015), False, "too pale"),
        (mask(0.03), False, "only 0.03 mm2"),
        (mask(10.0), False, "no glass"),
        (mask(2.0, blur=1.0, pen=0.5), True, "42.9% of it was lost"),
        (
            mask(1.0, blur=2.0, pen=1.0),
            False,
            "75% of the tissue is lost, most of it to blur (50%)",
        ),
    ],
)
def test_mask_has_tissue_and_not_only_tissue_and_keeps_most_of_it(statistics, passed, text):
    finding = check_mask(statistics, MaskCheck())
    assert finding.passed is passed
    assert text in finding.text


@pytest.mark.parametrize(
    ("made", "passed", "text"),
    [
        (summary(), True, "3,000 nuclei per mm2"),
        (summary(density=20.0), False, "wrong mpp or stain"),
        (summary(density=50_000.0), False, "outside 50 to 20,000"),
        (summary(density=50_000.0, tissue_mm2=0.001), True, "Cannot be told"),
        (summary(density=None, tissue_mm2=0.0), True, "Cannot be told"),
    ],
)
def test_density_is_judged_where_it_means_something(made, passed, text):
    finding = check_density(made, DensityCheck())
    assert finding.passed is passed
    assert text in finding.text


@pytest.mark.parametrize(
    ("made", "passed"),
    [
        (summary(doubled=2), True),
        (summary(doubled=3), False),
        (summary(near=0, ratio=None), True),
        (summary(ratio=0.5), False),
        (summary(ratio=1.6), False),
        (summary(near=100, ratio=0.5), True),  # few: chance
    ],
)
def test_seams_are_judged_by_doubled_and_missing_nuclei(made, passed):
    assert check_seams(made, SeamCheck()).passed is passed


def qupath_file(path, features):
    collection = {"type": "FeatureCollection", "provenance": {}, "features": features}
    with gzip.open(path, "wt") as file:
        json.dump(collection, file)
    return path


def test_file_that_qupath_would_refuse_is_found(tmp_path):
    size = {"width_px": 10, "height_px": 10}
    good = qupath_file(tmp_path / "good.json.gz", [])
    assert check_qupath_file(good, 0, QuPathCheck(), **size).passed
    assert "0 nuclei, 3 were found" in check_qupath_file(good, 3, QuPathCheck(), **size).text
    bad = qupath_file(tmp_path / "bad.json.gz", [{"type": "Feature"}])
    finding = check_qupath_file(bad, 1, QuPathCheck(), **size)
    assert (finding.passed, finding.severity) == (False, "error")
    bad.write_bytes(b"cut")
    assert not check_qupath_file(bad, 1, QuPathCheck(), **size).passed
    assert "Not read back" in check_qupath_file(bad, 1, QuPathCheck(max_nuclei=0), **size).text


def others(n=12):
    rng = np.random.default_rng(0)
    return [AppearanceRecord(0.4 + e, 0.3 + e, 3000 + 1e4 * e) for e in rng.normal(0, 0.02, n)]


@pytest.mark.parametrize(
    ("slide", "passed", "text"),
    [
        (AppearanceRecord(0.41, 0.29, 3100), True, "like 12 others"),
        (AppearanceRecord(0.41, 0.9, 3100), False, "eosin 0.9 is"),
        (AppearanceRecord(0.1, 0.3, 3100), False, "below"),
        (AppearanceRecord(0.4, 0.3, 9000), False, "nuclei_per_mm2"),
        (None, True, "no tissue"),
    ],
)
def test_slide_far_from_its_cohort_is_named(slide, passed, text):
    finding = check_drift(slide, others(), "cohort skin v1", DriftCheck())
    assert finding.passed is passed
    assert text in finding.text


def test_few_slides_are_no_cohort():
    far = AppearanceRecord(9, 9, 9)
    assert "Cannot be told" in check_drift(far, others(7), "all slides", DriftCheck()).text


def test_equal_slides_do_not_make_every_other_one_drift():
    same = [AppearanceRecord(0.4, 0.3, 3000)] * 10
    assert check_drift(AppearanceRecord(0.401, 0.3, 3010), same, "x", DriftCheck()).passed


def test_switched_off_check_passes_and_says_so():
    finding = check_mask(mask(0.0), MaskCheck(severity="off"))
    assert finding.passed
    assert "Switched off" in finding.text


def test_policy_is_read_from_a_file_that_holds_what_differs(tmp_path):
    path = tmp_path / "checks.json"
    assert read_policy(path) == CheckPolicy()
    path.write_text('{"drift": {"severity": "error", "max_deviations": 3}}')
    policy = read_policy(path)
    assert policy.drift.severity == "error"
    assert policy.seams == SeamCheck()
    path.write_text('{"drift": {"max_deviation": 3}}')
    with pytest.raises(SettingsError, match="max_deviation"):
        read_policy(path)


def test_stain_of_real_tissue_is_stronger_than_of_its_diluted_self(shared_data):
    from PIL import Image

    path = shared_data / "tiles_he" / "hoverfast_tcga_tile.png"
    with Image.open(path) as image:
        rgb = np.asarray(image.convert("RGB"))
    all_of_it = np.ones(rgb.shape[:2], bool)
    strong = measure_stain(rgb, all_of_it)
    pale = measure_stain((255 * (rgb / 255.0) ** 0.5).astype(np.uint8), all_of_it)

    assert strong.hematoxylin > 1.5 * pale.hematoxylin > 0
    assert strong.eosin > 1.5 * pale.eosin > 0
    assert measure_stain(rgb, ~all_of_it) is None
