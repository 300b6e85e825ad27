import dataclasses

import pytest

from hoverfast_platform.catalogue import (
    Catalogue,
    FailureRecord,
    SegmentationRecord,
    SlideRecord,
    TissueMaskRecord,
)
from hoverfast_platform.errors import CatalogueError

SLIDE = SlideRecord("a" * 64, "A 1.svs", "/slides/A 1.svs", "aperio", 10, 20, 0.25, 0.25, "file")


def segmentation(identity="s1", slide=SLIDE, **changes):
    record = SegmentationRecord(
        segmentation_id=identity,
        slide=slide,
        mask_sha256="b" * 64,
        mask_engine="builtin",
        tissue_area_mm2=1.0,
        model_sha256="c" * 64,
        model_name="m",
        model_version="1",
        model_card={"licence": "CC-BY-4.0"},
        settings={"x": 1},
        code_version="0",
        device="cpu",
        backend="openvino",
        precision="fp32",
        run_id="r",
        n_nuclei=5,
        seconds_per_mm2=2.0,
        files={"/out/A.json.gz": "d" * 64},
    )
    return dataclasses.replace(record, **changes)


@pytest.fixture
def catalogue(catalogue_location):
    with Catalogue.open(catalogue_location) as catalogue:
        yield catalogue


def test_model_knows_what_it_made(catalogue):
    catalogue.record_done(segmentation("s1"))
    catalogue.record_done(segmentation("s2", model_sha256="d" * 64))

    (use,) = catalogue.model_uses("c" * 64)

    assert (use.segmentation_id, use.slide_name) == ("s1", "A 1.svs")
    assert catalogue.model("c" * 64).card == {"licence": "CC-BY-4.0"}


@pytest.mark.parametrize("text", ["s1", "a" * 64, "A 1.svs", "/slides/A 1.svs", "/out/A.json.gz"])
def test_lineage_answers_by_slide_file_and_id(catalogue, text):
    catalogue.record_done(segmentation())

    (entry,) = catalogue.lineage(text).entries

    assert entry["model"]["card"]["licence"] == "CC-BY-4.0"
    assert entry["mask"]["engine"] == "builtin"


def test_unknown_text_has_no_lineage(catalogue):
    catalogue.record_done(segmentation())

    assert catalogue.lineage("%").entries == ()


def test_renamed_slide_is_the_same_slide(catalogue):
    key = catalogue.register_slide(SLIDE)
    moved = dataclasses.replace(SLIDE, name="B.svs", path="/slides/B.svs")

    assert catalogue.register_slide(moved) == key
    assert str(catalogue.slide_path(key)) == "/slides/B.svs"
    catalogue.record_done(segmentation(slide=moved))
    assert catalogue.lineage("/slides/A 1.svs").entries


def test_key_is_safe_and_readable(catalogue):
    assert catalogue.register_slide(SLIDE) == "A-1-aaaaaaaaaa"


def test_recording_twice_keeps_one_row(catalogue):
    catalogue.record_done(segmentation())
    catalogue.record_done(segmentation(n_nuclei=6))

    assert [e["n_nuclei"] for e in catalogue.lineage("s1").entries] == [6]


def test_failure_keeps_kind_and_remedy(catalogue):
    failure = FailureRecord("/x.svs", "missing_mpp", "no mpp", "--mpp", "r")
    catalogue.record_failure(failure)

    assert catalogue.failures() == (failure,)


def test_unknown_slide_is_refused(catalogue):
    with pytest.raises(CatalogueError, match="Register"):
        catalogue.slide_path("none")


def test_mask_is_kept_with_its_record_and_found_by_the_lineage_of_results(catalogue):
    key = catalogue.register_slide(SLIDE)
    made = TissueMaskRecord("b" * 64, "histoqc", 0.9, "/masks/A.png", {"statistics": {"x": 1}})
    for _ in range(2):
        catalogue.record_mask(key, made)
    catalogue.record_done(segmentation())

    assert catalogue.masks(key) == (dataclasses.replace(made, engine="builtin", tissue_area_mm2=1),)
    (entry,) = catalogue.lineage("s1").entries
    assert entry["mask"]["path"] == "/masks/A.png"
    assert entry["mask"]["record"] == {"statistics": {"x": 1}}


def test_mask_of_an_unknown_slide_is_refused(catalogue):
    with pytest.raises(CatalogueError, match="nobody"):
        catalogue.record_mask("nobody", TissueMaskRecord("b" * 64, "builtin", 1.0, "m.png", {}))
