"""The questions of docs/catalogue.md, asked in SQL of both databases."""

import dataclasses
import re
from pathlib import Path

import pytest
from sqlalchemy import text

from hoverfast_platform.catalogue import (
    Catalogue,
    CohortMemberRecord,
    CohortRecord,
    FailureRecord,
    LabelUse,
    ModelRecord,
    SlideRecord,
    TrainingSetRecord,
)
from tests.builders import SLIDE, segmentation, verdict

PAGE = Path(__file__).parents[3] / "docs" / "catalogue.md"
TNBC, OURS = LabelUse("TNBC", "CC-BY-NC-4.0"), LabelUse("ours", "CC0-1.0")
OTHER_KEY = "B-eeeeeeeeee"
PARENT = ModelRecord("a" * 64, "parent", "1", "", {}, labels=(TNBC,))
CHILD = ModelRecord(
    "b" * 64,
    "child",
    "1",
    "",
    {},
    labels=(OURS,),
    parents=("a" * 64,),
    training_sets=("t" * 64,),
    cohort="breast v1",
)
OTHER = SlideRecord("e" * 64, "B.svs", "/slides/B.svs", "aperio", 30, 20, 0.5, 0.5, "file")


@pytest.fixture
def catalogue(catalogue_location):
    """A parent and its child on two slides: the first made by both, the second by the child."""
    with Catalogue.open(catalogue_location, run_id="run 1") as catalogue:
        slides = [catalogue.slides.register(slide) for slide in (SLIDE, OTHER)]
        known = {slide.key: slide for slide in catalogue.slides.all()}
        members = (CohortMemberRecord(known[slides[0]], "P1"),)
        catalogue.cohorts.record(CohortRecord("breast", 0, "d", members), {})
        catalogue.descent.record_training_set(
            TrainingSetRecord("t" * 64, "breast_train", "/t", "people", "breast v1", (OURS,))
        )
        for model in (PARENT, CHILD):
            catalogue.models.register(model)
        catalogue.models.promote("b" * 64, replaces=None, reason="better", verdict=verdict("ok"))

        def segment(identity, slide, model, n_nuclei):
            made = segmentation(identity, slide, {"model": {"sha256": model.sha256}})
            catalogue.results.record(dataclasses.replace(made, model=model, n_nuclei=n_nuclei))

        segment("s1", SLIDE, PARENT, 5)
        segment("s2", SLIDE, CHILD, 8)
        segment("s3", OTHER, CHILD, 3)
        catalogue.results.record_failure(
            FailureRecord("/slides/B.svs", "compute", "out of memory", "wait", "")
        )
        catalogue.results.record_failure(
            FailureRecord("/c.json", "k", "m", "r", "", cohort="breast", step="teacher_labels")
        )
        yield catalogue


def answer(catalogue, query, **values):
    with catalogue._database.reader.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query), values)]


def test_slides_that_a_model_or_a_child_of_it_made(catalogue):
    query = (
        "SELECT slide, made_by, n_steps FROM slides_of_model_family "
        "WHERE model = 'parent' AND is_current = 1 ORDER BY slide"
    )
    assert answer(catalogue, query) == [
        ("A-1-aaaaaaaaaa", "child", 1),
        (OTHER_KEY, "child", 1),
    ]


def test_what_must_be_made_again_if_labels_are_withdrawn(catalogue):
    query = "SELECT slide FROM slides_of_labels WHERE labels = 'TNBC' ORDER BY slide"
    assert answer(catalogue, query) == [("A-1-aaaaaaaaaa",), (OTHER_KEY,)]


def test_what_changed_between_two_results_of_a_slide(catalogue):
    query = (
        "SELECT slide, n_nuclei_before, n_nuclei_after, model_before, model_after, "
        "is_other_mask, is_other_settings FROM result_changes"
    )
    assert answer(catalogue, query) == [("A-1-aaaaaaaaaa", 5, 8, "parent", "child", 0, 0)]


def test_training_set_cohort_and_licences_of_a_model(catalogue):
    query = "SELECT training_set, cohort, cohort_version, labelling_run_id FROM model_training"
    assert answer(catalogue, query) == [("breast_train", "breast", 1, "run 1")]
    query = "SELECT labels, licence, n_steps FROM model_licences WHERE model = 'child' ORDER BY 3"
    assert answer(catalogue, query) == [("ours", "CC0-1.0", 0), ("TNBC", "CC-BY-NC-4.0", 1)]
    query = "SELECT slide, patient, model FROM cohort_slides"
    assert answer(catalogue, query) == [("A-1-aaaaaaaaaa", "P1", "child")]


def test_descent_that_runs_in_a_ring_ends(catalogue):
    catalogue.models.register(dataclasses.replace(PARENT, parents=("b" * 64,)))

    query = "SELECT ancestor, n_steps FROM model_ancestry WHERE model = 'child' ORDER BY ancestor"
    assert answer(catalogue, query) == [("child", 2), ("parent", 1)]


def test_failures_that_are_still_open(catalogue):
    query = "SELECT slide, cohort, step FROM open_failures ORDER BY cohort"
    found = answer(catalogue, query)
    assert sorted(found, key=str) == [
        (OTHER_KEY, None, ""),
        (None, "breast", "teacher_labels"),
    ]


def test_a_failure_is_closed_when_the_finished_result_is_found_again(catalogue):
    query = "SELECT slide FROM open_failures WHERE cohort IS NULL ORDER BY slide"
    of_other = FailureRecord("/slides/B.svs", "no_space", "Full.", "", "", slide_key=OTHER_KEY)
    made = segmentation("s3", OTHER, {"model": {"sha256": CHILD.sha256}})
    made = dataclasses.replace(made, model=CHILD)
    catalogue.results.record_failure(of_other)
    assert answer(catalogue, query) == [(OTHER_KEY,)]

    catalogue.results.record(made)

    assert answer(catalogue, query) == []
    (entry,) = catalogue.results.lineage(OTHER_KEY).entries
    assert entry.finished_at == made.finished_at


def test_every_query_of_the_page_runs_on_both_databases(catalogue):
    queries = re.findall(r"```sql\n(.*?)```", PAGE.read_text(), re.DOTALL)

    assert len(queries) == 10
    for query in queries:
        values = dict.fromkeys(re.findall(r":(\w+)", query), "x")
        answer(catalogue, query, **values)
