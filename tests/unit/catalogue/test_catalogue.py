import dataclasses

import pytest

from hoverfast_platform.catalogue import (
    Catalogue,
    FailureRecord,
    TissueMaskRecord,
)
from hoverfast_platform.errors import CatalogueError
from tests.builders import SLIDE, segmentation


@pytest.fixture
def catalogue(catalogue_location):
    with Catalogue.open(catalogue_location) as catalogue:
        yield catalogue


def test_model_knows_what_it_made(catalogue):
    catalogue.results.record(segmentation("s1"))
    catalogue.results.record(segmentation("s2", made_from={"model": {"sha256": "d" * 64}}))

    (use,) = catalogue.models.uses("c" * 64)

    assert (use.segmentation_id, use.slide_name) == ("s1", "A 1.svs")
    assert catalogue.models.get("c" * 64).card == {"licence": "CC-BY-4.0"}


@pytest.mark.parametrize("text", ["s1", "a" * 64, "A 1.svs", "/slides/A 1.svs", "/out/A.json.gz"])
def test_lineage_answers_by_slide_file_and_id(catalogue, text):
    catalogue.results.record(segmentation())

    (entry,) = catalogue.results.lineage(text).entries

    assert entry.model_card["licence"] == "CC-BY-4.0"
    assert entry.provenance == segmentation().provenance


def test_unknown_text_has_no_lineage(catalogue):
    catalogue.results.record(segmentation())

    assert catalogue.results.lineage("%").entries == ()


def test_renamed_slide_is_the_same_slide(catalogue):
    key = catalogue.slides.register(SLIDE)
    moved = dataclasses.replace(SLIDE, name="B.svs", path="/slides/B.svs")

    assert catalogue.slides.register(moved) == key
    assert str(catalogue.slides.path(key)) == "/slides/B.svs"
    catalogue.results.record(segmentation(slide=moved))
    assert catalogue.results.lineage("/slides/A 1.svs").entries


def test_key_is_safe_and_readable(catalogue):
    assert catalogue.slides.register(SLIDE) == "A-1-aaaaaaaaaa"


def test_recording_twice_keeps_one_row(catalogue):
    catalogue.results.record(segmentation())
    catalogue.results.record(segmentation(n_nuclei=6))

    assert [entry.n_nuclei for entry in catalogue.results.lineage("s1").entries] == [6]


def test_failure_keeps_kind_and_remedy(catalogue):
    failure = FailureRecord("/x.svs", "missing_mpp", "no mpp", "--mpp", "r")
    catalogue.results.record_failure(failure)

    assert catalogue.results.failures() == (failure,)


def test_unknown_slide_is_refused(catalogue):
    with pytest.raises(CatalogueError, match="Register"):
        catalogue.slides.path("none")


def test_mask_is_kept_with_its_record_and_found_by_the_lineage_of_results(catalogue):
    key = catalogue.slides.register(SLIDE)
    made = TissueMaskRecord("b" * 64, "histoqc", 0.9, "/masks/A.png", {"statistics": {"x": 1}})
    for _ in range(2):
        catalogue.slides.record_mask(key, made)
    catalogue.results.record(segmentation())

    assert catalogue.slides.masks(key) == (
        dataclasses.replace(made, engine="builtin", tissue_area_mm2=1),
    )
    (entry,) = catalogue.results.lineage("s1").entries
    assert entry.mask_path == "/masks/A.png"
    assert entry.mask_record == {"statistics": {"x": 1}}


def test_mask_of_an_unknown_slide_is_refused(catalogue):
    with pytest.raises(CatalogueError, match="nobody"):
        catalogue.slides.record_mask(
            "nobody", TissueMaskRecord("b" * 64, "builtin", 1.0, "m.png", {})
        )
