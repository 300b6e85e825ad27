import dataclasses

import pytest
from sqlalchemy import event, select
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from hoverfast_platform.catalogue import (
    Catalogue,
    CohortRecord,
    FailureRecord,
    LabelUse,
    ModelRecord,
    TissueMaskRecord,
    TrainingSetRecord,
)
from hoverfast_platform.catalogue.descent_tables import TrainingSet
from hoverfast_platform.catalogue.tables import CurrentResult, Failure, Mask, ModelVersion
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
    with pytest.raises(CatalogueError, match="registered slide"):
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


def test_current_result_is_the_last_one_made_and_the_history_stays(catalogue):
    """A, then B, then A again: two rows of segmentations, three periods, and A is current."""
    b = {"model": {"sha256": "d" * 64}}
    catalogue.results.record(segmentation("s1"))
    catalogue.results.record(segmentation("s2", made_from=b))
    assert [r.segmentation_id for r in catalogue.results.current()] == ["s2"]
    catalogue.results.record(segmentation("s1"))
    catalogue.results.record(segmentation("s1"))

    (current,) = catalogue.results.current()
    assert (current.segmentation_id, current.model_sha256) == ("s1", "c" * 64)
    first, second = catalogue.results.lineage("A 1.svs").entries
    assert (first.provenance.segmentation_id, first.is_current) == ("s1", True)
    assert (second.provenance.segmentation_id, second.is_current) == ("s2", False)
    with Session(catalogue._database.reader) as session:
        periods = session.scalars(select(CurrentResult).order_by(CurrentResult.id)).all()
        assert [p.segmentation.segmentation_id for p in periods] == ["s1", "s2", "s1"]
        assert [p.until is None for p in periods] == [False, False, True]


def test_result_of_other_settings_does_not_end_the_one_before_but_is_newer(catalogue):
    other = segmentation("s2")
    changed = other.provenance.model_copy(update={"settings": {"x": 2}})
    catalogue.results.record(segmentation("s1"))
    catalogue.results.record(dataclasses.replace(other, provenance=changed, scope="breast"))

    assert all(entry.is_current for entry in catalogue.results.lineage("A 1.svs").entries)
    (newest,) = catalogue.results.current()
    assert (newest.segmentation_id, newest.scope) == ("s2", "breast")


def test_model_keeps_its_name_and_two_never_share_one(catalogue):
    first = ModelRecord("c" * 64, "student", "1", "/m/1", {"name": "student"})
    catalogue.models.register(first)
    catalogue.models.register(dataclasses.replace(first, name="copy", version="2", path="/m/2"))
    catalogue.models.register(dataclasses.replace(first, sha256="d" * 64))
    catalogue.results.record(segmentation())

    named = {m.sha256[0]: (m.name, m.version) for m in catalogue.models.standings()}
    assert named == {"c": ("student", "1"), "d": ("student", f"1-{'d' * 10}")}
    assert catalogue.models.get("c" * 64).card == {"name": "student"}


def test_labels_are_inherited_through_parents_and_teachers_however_far(catalogue):
    def model(letter, licence, **descent):
        labels = (LabelUse(f"set {letter}", licence, n_images=1, n_nuclei=2),)
        record = ModelRecord(letter * 64, letter, "1", "", {}, labels=labels, **descent)
        catalogue.models.register(record)

    model("a", "CC0-1.0", parents=("b" * 64,), teachers=("c" * 64,))
    assert [m.sha256[0] for m in catalogue.models.without_stage()] == ["c", "b"]
    model("c", "CC-BY-4.0")
    model("b", "BSD-3-Clause", parents=("d" * 64,))
    model("d", "CC-BY-NC-4.0", parents=("a" * 64,))  # a ring, which ends

    labels = {use.licence: use.is_inherited for use in catalogue.descent.labels("a" * 64)}
    assert labels == {
        "CC0-1.0": False, "BSD-3-Clause": True, "CC-BY-4.0": True, "CC-BY-NC-4.0": True
    }  # fmt: skip
    steps = [(a.name, a.how, a.n_steps) for a in catalogue.descent.ancestors("a" * 64)]
    assert steps == [("b", "parent", 1), ("c", "teacher", 1), ("d", "parent", 2)]


def test_a_model_recorded_again_costs_little_and_adds_only_what_is_new(catalogue):
    """It is recorded with every slide that it segmented."""
    labels = tuple(LabelUse(f"set {i}", "CC0-1.0", n_images=1, n_nuclei=2) for i in range(30))
    sets = tuple(letter * 64 for letter in "tuvwxyz")
    record = ModelRecord(
        "c" * 64, "m", "1", "", {}, labels=labels, training_sets=sets, cohort="breast v1"
    )
    catalogue.models.register(record)
    statements = []

    def count(*arguments):
        statements.append(arguments[2])

    event.listen(Engine, "before_cursor_execute", count)
    try:
        catalogue.models.register(record)
    finally:
        event.remove(Engine, "before_cursor_execute", count)
    assert len(statements) < 15, statements

    new = LabelUse("new", "CC0-1.0", n_images=1, n_nuclei=2)
    catalogue.models.register(dataclasses.replace(record, labels=(*labels, new)))
    assert len(catalogue.descent.labels("c" * 64)) == 31

    catalogue.cohorts.record(CohortRecord("breast", 0, "d" * 64, ()), {})
    catalogue.models.register(record)
    known = catalogue.descent.training_sets("c" * 64)
    assert [one.cohort for one in known] == ["breast v1"] * 7


def test_run_is_kept_with_everything_that_it_records(catalogue_location):
    with Catalogue.open(catalogue_location, run_id="run 7") as catalogue:
        catalogue.models.register(ModelRecord("c" * 64, "m", "1", "", {}))
        key = catalogue.slides.register(SLIDE)
        catalogue.slides.record_mask(key, TissueMaskRecord("b" * 64, "builtin", 1.0, "m.png", {}))
        catalogue.descent.record_training_set(TrainingSetRecord("t", "set", "/t", "people"))
        catalogue.results.record_failure(FailureRecord("/x.svs", "k", "m", "r", ""))
        with Session(catalogue._database.reader) as session:
            for table in (ModelVersion, Mask, TrainingSet, Failure):
                assert session.scalars(select(table.run_id)).all() == ["run 7"], table


def test_failure_is_about_its_slide_or_its_cohort(catalogue):
    key = catalogue.slides.register(SLIDE)
    catalogue.results.record_failure(FailureRecord(SLIDE.path, "k", "m", "r", ""))
    catalogue.results.record_failure(
        FailureRecord("/c.json", "k", "m", "r", "", cohort="breast", step="teacher_labels")
    )

    of_cohort, of_slide = catalogue.results.failures()
    assert (of_slide.slide_key, of_slide.cohort) == (key, None)
    assert (of_cohort.slide_key, of_cohort.cohort) == (None, "breast")
    assert catalogue.results.newest_failures() == {key: of_slide}
