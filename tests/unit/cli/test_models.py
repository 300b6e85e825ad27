"""From measurement to promotion and back, as a person would do it."""

import json

import pytest
from click.testing import CliRunner

from hoverfast_platform.catalogue import Catalogue, EvaluationRecord, ModelRecord
from hoverfast_platform.cli.models import command
from hoverfast_platform.errors import CatalogueError, HoverFastError, SettingsError
from tests.builders import evaluation_summary

OURS = [{"name": "TNBC", "licence": "CC-BY-4.0"}]


@pytest.fixture
def catalogue(tmp_path):
    """Students a (PQ 0.64), b (0.66), c (0.60) and d (0.70, forbidden labels), all measured."""
    path = tmp_path / "c.sqlite"
    with Catalogue.open(path) as opened:
        for letter, pq, labels in (
            ("a", 0.64, OURS),
            ("b", 0.66, OURS),
            ("c", 0.60, OURS),
            ("d", 0.70, [{"name": "PanNuke", "licence": "CC-BY-NC-SA-4.0"}]),
        ):
            card = {"labels": labels, "training_set_digest": "t"}
            opened.models.register(
                ModelRecord(letter * 64, f"student-{letter}", "1", f"/m/{letter}", card)
            )
            measure(opened, letter, pq)
    return path


def measure(opened, letter, pq, *, dataset_digest="v" * 64):
    scores = {"dice": 0.8, "aji": 0.65, "dq": 0.8, "sq": 0.8, "pq": pq, "f1": 0.88}
    summary = evaluation_summary(scores, n_images=11, n_true=592)
    opened.models.record_evaluation(
        EvaluationRecord(letter * 64, "tnbc", dataset_digest, "s" * 64, summary, "/r")
    )


def run(*args, exit_code=0):
    done = CliRunner().invoke(command, [str(arg) for arg in args])
    if isinstance(done.exception, HoverFastError):
        raise done.exception
    assert done.exit_code == exit_code, done.output
    return done.output


def promoted(path, scope="default"):
    with Catalogue.open(path) as opened:
        now = opened.models.promoted(scope)
    return now.name if now else None


def promote(path, model, *args, exit_code=0):
    return run("promote", model, "--catalogue", path, *args, exit_code=exit_code)


def test_alone_and_list_show_what_ships():
    assert run() == run("list")
    assert "This is the default." in run()


def test_better_one_replaces_and_the_former_can_come_back(catalogue):
    promote(catalogue, "student-a")
    assert "pq 0.6600 against 0.6400" in promote(catalogue, "student-b", "--reason", "more steps")
    assert promoted(catalogue) == "student-b"

    promote(catalogue, "student-a", "--roll-back", "--reason", "b finds keratin")

    assert promoted(catalogue) == "student-a"
    shown = json.loads(run("show", "student-a", "--catalogue", catalogue, "--json"))
    assert [entry["stage"] for entry in shown["history"]] == [
        "promoted", "retired", "promoted", "candidate",
    ]  # fmt: skip
    assert shown["history"][0]["reason"] == "b finds keratin"
    assert shown["history"][2]["verdict"]["passed"] is True
    assert shown["path"] == "/m/a"
    assert shown["segmentations"] == []
    assert shown["evaluations"][0]["scores"]["pq"]["mean"] == 0.64
    lines = run("show", "student-a", "--catalogue", catalogue)
    today = shown["history"][0]["since"][:10]
    assert f"promoted       in default since {today}: b finds keratin" in lines
    assert f"retired        in default since {today} to {today}" in lines
    assert "PQ 0.640 (" in lines


@pytest.mark.parametrize(
    ("model", "reason"), [("student-c", "pq 0.6000 is worse"), ("student-d", "CC-BY-NC-SA-4.0")]
)
def test_worse_or_forbidden_candidate_is_refused_with_reasons(catalogue, model, reason):
    promote(catalogue, "student-a")

    output = promote(catalogue, model, exit_code=1)

    assert "refuses" in output
    assert reason in output
    assert promoted(catalogue) == "student-a"


def test_dry_run_changes_nothing(catalogue):
    assert "lets it pass" in promote(catalogue, "student-a", "--dry-run")
    assert promoted(catalogue) is None


def test_roll_back_to_what_never_was_promoted_is_refused(catalogue):
    promote(catalogue, "student-a")

    with pytest.raises(CatalogueError, match="never judged"):
        promote(catalogue, "student-d", "--roll-back", "--reason", "I like it")
    assert "needs a --reason" in promote(catalogue, "student-d", "--roll-back", exit_code=2)
    assert promoted(catalogue) == "student-a"


def test_scores_on_another_set_than_the_promoted_model_was_judged_on_do_not_count(catalogue):
    promote(catalogue, "student-a")
    with Catalogue.open(catalogue) as opened:
        measure(opened, "c", 0.99, dataset_digest="easy")
        opened.models.register(ModelRecord("e" * 64, "student-e", "1", "/m/e", {}))
        measure(opened, "e", 0.99, dataset_digest="easy")

    assert "pq 0.6000 is worse" in promote(catalogue, "student-c", exit_code=1)
    with pytest.raises(CatalogueError, match=r"measured on tnbc \(easy\), not on"):
        promote(catalogue, "student-e")


def test_policy_file_sets_tolerance_and_is_checked(catalogue, tmp_path):
    promote(catalogue, "student-a")
    policy = tmp_path / "policy.json"
    policy.write_text('{"tolerance": 0.05}')
    assert "lets it pass" in promote(catalogue, "student-c", "--policy", policy, "--dry-run")

    policy.write_text('{"tolerence": 0.05}')
    with pytest.raises(SettingsError, match="Fields: tolerance"):
        promote(catalogue, "student-c", "--policy", policy)


def test_scopes_are_promoted_apart_and_need_registration(catalogue):
    with pytest.raises(CatalogueError, match="not a candidate in scope 'site-2'"):
        promote(catalogue, "student-a", "--scope", "site-2")


def test_retired_model_and_list(catalogue):
    promote(catalogue, "student-a")
    run("retire", "student-a", "--catalogue", catalogue, "--reason", "scanner was replaced")

    assert promoted(catalogue) is None
    listed = run("list", "--catalogue", catalogue)
    assert "retired    default  student-a@1" in listed
    assert "PQ 0.660" in listed
    assert "retire" in run("retire", "student-a", "--catalogue", catalogue, exit_code=2)


def test_model_file_is_known_by_its_bytes(catalogue, tmp_path):
    (tmp_path / "other.safetensors").write_bytes(b"weights")

    with pytest.raises(CatalogueError, match="not a candidate"):
        promote(catalogue, tmp_path / "other.safetensors")


def test_card_of_a_builtin_model():
    card = json.loads(run("show", "cross-organ", "--json"))
    lines = run("show", "cross-organ")

    assert card["mpp"] == 0.25
    assert "images         H&E, 0.25 um/px" in lines
    for label in card["labels"]:
        assert f"learned from   {label['name']} ({label['licence']})" in lines
