"""A patient takes consent back: all that was made of her slide goes, and that it went is kept."""

import dataclasses

import pytest
from click.testing import CliRunner
from sqlalchemy import select
from sqlalchemy.orm import Session

from hoverfast_platform.catalogue import (
    Catalogue,
    CohortMemberRecord,
    CohortRecord,
    EvaluationRecord,
    LabelUse,
    ModelRecord,
    SlideRecord,
    TissueMaskRecord,
    TrainingSetRecord,
)
from hoverfast_platform.catalogue.descent_tables import WithdrawnItem
from hoverfast_platform.cli.withdraw import command
from hoverfast_platform.cohorts.plan import CohortPlan, choose_members
from hoverfast_platform.errors import CatalogueError, TrainingError
from hoverfast_platform.evaluation.gate import judge
from hoverfast_platform.scores import SCORE_NAMES
from hoverfast_platform.storage.object_store import ObjectStore
from hoverfast_platform.storage.shared_artefacts import SharedArtefacts
from tests.builders import SLIDE, evaluation_summary, segmentation, verdict

OTHER = SlideRecord("e" * 64, "B.svs", "/slides/B.svs", "aperio", 30, 20, 0.5, 0.5, "file")
OURS = LabelUse("our labels", "CC0-1.0")
STUDENT = ModelRecord(
    "b" * 64, "student", "1", "", {}, labels=(OURS,), training_sets=("t" * 64,), cohort="breast v1"
)
CHILD = ModelRecord("c" * 64, "child", "1", "", {}, parents=("b" * 64,))


@pytest.fixture
def lab(tmp_path):
    """Slide A of patient P1 taught a student, whose child segmented A and B."""
    files = {name: tmp_path / name for name in ("A.png", "A.parquet", "A.summary.json", "t.h5")}
    for path in files.values():
        path.write_text("tissue")
    (tmp_path / "report" / "agreement").mkdir(parents=True)
    (tmp_path / "report" / "thesis.docx").write_text("mine")
    with Catalogue.open(tmp_path / "catalogue.sqlite") as catalogue:
        key = catalogue.slides.register(SLIDE)
        known = {slide.key: slide for slide in catalogue.slides.all()}
        member = CohortMemberRecord(known[key], "P1")
        catalogue.cohorts.record(CohortRecord("breast", 0, "d", (member,)), {})
        mask = TissueMaskRecord("b" * 64, "builtin", 1.0, str(files["A.png"]), {})
        catalogue.slides.record_mask(key, mask)
        catalogue.descent.record_training_set(
            TrainingSetRecord("t" * 64, "t", str(files["t.h5"]), "people", "breast v1", (OURS,))
        )
        for model in (STUDENT, CHILD):
            catalogue.models.register(model)
        summary = evaluation_summary(dict.fromkeys(SCORE_NAMES, 0.5), n_images=1, n_true=2)
        report = str(tmp_path / "report")
        catalogue.models.record_evaluation(
            EvaluationRecord("b" * 64, "t", "t" * 64, "s" * 64, summary, report)
        )
        for slide, paths in ((SLIDE, {str(files["A.parquet"]): "1"}), (OTHER, {})):
            made = segmentation(slide.name, slide, {"model": {"sha256": "c" * 64}})
            catalogue.results.record(dataclasses.replace(made, model=CHILD, files=paths))
        yield tmp_path, catalogue, key


def withdraw(root, *options):
    result = CliRunner().invoke(
        command, [*options, "--catalogue", str(root / "catalogue.sqlite")], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    return result.output


def test_dry_run_lists_everything_derived_and_changes_nothing(lab):
    root, catalogue, _ = lab
    before = sorted(root.rglob("*"))

    told = withdraw(root, "patient", "P1")

    for item in ("A-1-aaaaaaaaaa", "A.png", "A.parquet", "A.summary.json", "t.h5", "agreement"):
        assert item in told
    assert "student 1" in told
    assert "child 1" in told
    assert "1 other slides have nuclei of these models" in told
    assert "Nothing was changed" in told
    assert set(before) <= set(root.rglob("*"))
    assert catalogue.withdrawals.all() == ()


def test_carried_out_it_removes_marks_and_keeps_the_fact(lab):
    root, catalogue, key = lab

    withdraw(root, "patient", "P1", "--carry-out", "--reason", "letter of 3 May")

    left = {path.name for path in root.rglob("*") if not path.name.startswith("catalogue")}
    assert left == {"report", "thesis.docx"}
    (record,) = catalogue.withdrawals.all()
    assert (record.kind, record.subject, record.reason) == ("patient", "P1", "letter of 3 May")
    assert record.n_removed == 4
    with Session(catalogue._database.reader) as session:
        kinds = session.scalars(select(WithdrawnItem.kind)).all()
    assert sorted(kinds) == ["mask", "model", "model", "report", "result", "slide", "training set"]
    with pytest.raises(CatalogueError, match="was withdrawn"):
        catalogue.slides.path(key)
    assert [result.slide.name for result in catalogue.results.current()] == ["B.svs"]
    assert catalogue.slides.masks(key) == ()


def test_cohort_goes_on_without_the_slide_and_its_students_pass_no_gate(lab):
    root, catalogue, _ = lab
    plan = CohortPlan(slides_like="*.svs")
    assert len(choose_members("breast", plan, catalogue.slides.all(), None).members) == 2

    withdraw(root, "slide", "A 1.svs", "--carry-out", "--reason", "letter of 3 May")

    found = choose_members("breast", plan, catalogue.slides.all(), None)
    assert [member.slide.name for member in found.members] == ["B.svs"]
    assert "withdrawn" in found.warnings[0]
    only_it = CohortPlan(slides_like="A*")
    with pytest.raises(TrainingError, match="empty"):
        choose_members("breast", only_it, catalogue.slides.all(), None)
    for sha256 in ("b" * 64, "c" * 64):
        judged = judge(
            verdict("x").candidate,
            None,
            card={"labels": [{"name": "a", "licence": "CC0-1.0"}]},
            ancestry=catalogue.descent.ancestry(sha256),
        )
        assert "it learned from what was withdrawn: slide A 1.svs" in str(judged)


def test_labels_reach_what_holds_them_and_who_learned_from_them(lab):
    told = withdraw(lab[0], "labels", "our labels")

    assert "our labels (CC0-1.0)" in told
    assert "t.h5" in told
    assert "child 1" in told
    assert "2 other slides" in told


def test_unknown_subject_and_missing_reason_are_refused(lab):
    root, _, _ = lab
    with pytest.raises(CatalogueError, match="knows no patient called 'P9'"):
        withdraw(root, "patient", "P9")
    arguments = ["patient", "P1", "--carry-out", "--catalogue", str(root / "catalogue.sqlite")]
    assert CliRunner().invoke(command, arguments).exit_code == 2


def test_what_is_in_the_shared_store_goes_too_and_nothing_else(lab, tmp_path_factory):
    root, catalogue, key = lab
    place = tmp_path_factory.mktemp("share")
    machine = SharedArtefacts(tmp_path_factory.mktemp("machine"), ObjectStore(place.as_uri()))
    for name in ("nuclei/A", "nuclei/B"):
        (machine.root / name).mkdir(parents=True)
        (machine.root / name / "x.parquet").write_text(name)
        machine.publish(machine.root / name)
    # As a machine recorded it whose folder is elsewhere.
    mask = TissueMaskRecord("d" * 64, "builtin", 1.0, "/data/artefacts/nuclei/A", {})
    catalogue.slides.record_mask(key, mask)

    told = withdraw(root, "patient", "P1", "--shared", place.as_uri())
    assert f"to remove     nuclei/A in {place.as_uri()}" in told
    assert len(machine.manifests()) == 2
    withdraw(
        *(root, "patient", "P1", "--shared", place.as_uri()),
        *("--carry-out", "--reason", "letter of 3 May"),
    )

    assert [manifest.name for manifest in machine.manifests()] == ["nuclei/B"]
    assert len(machine.store.names("parts")) == 1
