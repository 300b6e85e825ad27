import dataclasses
import datetime
import subprocess
import sys

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import IntegrityError

from hoverfast_platform.catalogue import Catalogue, EvaluationRecord, ModelRecord
from hoverfast_platform.catalogue.database import database_url
from hoverfast_platform.errors import CatalogueError
from hoverfast_platform.scores import SCORE_NAMES
from hoverfast_platform.verdict import Verdict
from tests.builders import evaluation_summary, verdict

PASSED = verdict("dice 0.81")


def model(letter, version="1"):
    return ModelRecord(letter * 64, "student", version, f"/models/{letter}.safetensors", {"mpp": 1})


A, B, C = model("a"), model("b", "2"), model("c", "3")


@pytest.fixture
def catalogue(catalogue_location):
    with Catalogue.open(catalogue_location) as catalogue:
        yield catalogue


@pytest.fixture
def with_a_promoted(catalogue):
    for record in (A, B, C):
        catalogue.models.register(record)
    catalogue.models.promote(A.sha256, replaces=None, reason="first", verdict=PASSED)
    return catalogue


def stages(catalogue, record):
    return [entry.stage for entry in catalogue.models.history(record.sha256)]


def test_nothing_is_promoted_at_first(catalogue):
    assert catalogue.models.promoted() is None
    assert catalogue.models.standings() == ()


def test_promotion_retires_the_former_and_keeps_the_history(with_a_promoted):
    catalogue = with_a_promoted
    catalogue.models.promote(B.sha256, replaces=A.sha256, reason="better", verdict=PASSED)

    now = catalogue.models.promoted()
    assert (now.sha256, now.path, now.reason) == (B.sha256, B.path, "better")
    assert now.verdict == PASSED
    assert now.until is None
    assert now.since.tzinfo == datetime.UTC
    assert stages(catalogue, A) == ["retired", "promoted", "candidate"]
    assert stages(catalogue, B) == ["promoted", "candidate"]
    retired, promoted, _ = catalogue.models.history(A.sha256)
    assert promoted.until == retired.since == now.since
    assert "better" in retired.reason


def test_history_gives_the_verdict_back_whole_and_none_where_none_was_asked(with_a_promoted):
    promoted, candidate = with_a_promoted.models.history(A.sha256)

    assert isinstance(promoted.verdict, Verdict)
    assert promoted.verdict.candidate.scores["pq"] == 0.58
    assert promoted.verdict.policy.tolerance == 0.01
    assert candidate.verdict is None


def test_rolling_back_is_promoting_the_former_without_a_verdict(with_a_promoted):
    catalogue = with_a_promoted
    catalogue.models.promote(B.sha256, replaces=A.sha256, reason="better", verdict=PASSED)
    catalogue.models.promote(A.sha256, replaces=B.sha256, reason="B finds keratin")

    assert catalogue.models.promoted().sha256 == A.sha256
    assert stages(catalogue, A) == ["promoted", "retired", "promoted", "candidate"]
    assert stages(catalogue, B) == ["retired", "promoted", "candidate"]


def test_model_that_was_never_judged_or_failed_is_refused(with_a_promoted):
    catalogue = with_a_promoted
    with pytest.raises(CatalogueError, match="never judged"):
        catalogue.models.promote(B.sha256, replaces=A.sha256, reason="trust me")
    failed = verdict("dice 0.60 is below 0.70", "pq 0.41 is below 0.45", passed=False)
    with pytest.raises(CatalogueError, match=r"dice 0\.60 is below 0\.70; pq 0\.41"):
        catalogue.models.promote(B.sha256, replaces=A.sha256, reason="", verdict=failed)

    assert catalogue.models.promoted().sha256 == A.sha256  # the refusal undid A's retirement
    assert stages(catalogue, A) == ["promoted", "candidate"]
    assert stages(catalogue, B) == ["candidate"]


@pytest.mark.parametrize("replaces", [None, "c" * 64])
def test_verdict_against_another_model_than_the_promoted_is_refused(with_a_promoted, replaces):
    with pytest.raises(CatalogueError, match=r"but it is student 1 \(aaaaaaaaaa\)"):
        with_a_promoted.models.promote(B.sha256, replaces=replaces, reason="", verdict=PASSED)

    assert stages(with_a_promoted, B) == ["candidate"]


def test_promoting_twice_and_the_unregistered_are_refused(with_a_promoted):
    with pytest.raises(CatalogueError, match="not a candidate"):
        with_a_promoted.models.promote(A.sha256, replaces=None, reason="", verdict=PASSED)
    with pytest.raises(CatalogueError, match="knows no model"):
        with_a_promoted.models.promote("f" * 64, replaces=A.sha256, reason="", verdict=PASSED)


def test_retired_model_leaves_its_scope_without_one(with_a_promoted):
    with_a_promoted.models.retire(A.sha256, reason="finds no nuclei in fat")

    assert with_a_promoted.models.promoted() is None
    with pytest.raises(CatalogueError, match="neither"):
        with_a_promoted.models.retire(A.sha256, reason="again")


def test_scopes_are_apart(with_a_promoted):
    with_a_promoted.models.register(B, scope="site-2")
    with_a_promoted.models.promote(
        B.sha256, replaces=None, reason="", verdict=PASSED, scope="site-2"
    )

    assert with_a_promoted.models.promoted("site-2").sha256 == B.sha256
    assert with_a_promoted.models.promoted().sha256 == A.sha256
    assert stages(with_a_promoted, B) == ["promoted", "candidate", "candidate"]


def test_registering_again_keeps_the_stage_and_renews_the_path(with_a_promoted):
    with_a_promoted.models.register(dataclasses.replace(A, path="/elsewhere"))

    assert with_a_promoted.models.promoted().path == "/elsewhere"
    assert stages(with_a_promoted, A) == ["promoted", "candidate"]


def test_database_itself_lets_one_be_promoted(with_a_promoted, catalogue_location):
    engine = create_engine(database_url(catalogue_location))
    cheat = text("UPDATE model_stages SET stage = 'promoted' WHERE left_at IS NULL")
    with pytest.raises(IntegrityError), engine.begin() as connection:
        connection.execute(cheat)
    engine.dispose()


def test_of_two_promoting_at_once_one_succeeds_and_one_is_told(with_a_promoted, catalogue_location):
    code = (
        "import sys\n"
        "from hoverfast_platform.catalogue import Catalogue\n"
        "from hoverfast_platform.errors import CatalogueError\n"
        "c = Catalogue.open(sys.argv[1])\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "from hoverfast_platform.verdict import Verdict\n"
        "new, ok = sys.argv[2] * 64, Verdict.model_validate_json(sys.argv[3])\n"
        "try: c.models.promote(new, replaces='a' * 64, reason='r', verdict=ok)\n"
        "except CatalogueError as e: sys.exit(3 if 'meanwhile' in str(e) else 4)\n"
    )
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code, catalogue_location, letter, PASSED.model_dump_json()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for letter in "bc"
    ]
    for one in both:
        one.stdout.readline()
    for one in both:
        one.stdin.write(b"go\n")
        one.stdin.flush()
    for one in both:
        one.communicate()

    assert sorted(one.returncode for one in both) == [0, 3]
    promoted = [m for m in with_a_promoted.models.standings() if m.stage == "promoted"]
    assert len(promoted) == 1
    assert promoted[0].sha256 in (B.sha256, C.sha256)


@pytest.mark.parametrize("text", ["b" * 64, "bbbbbb", "student@2"])
def test_models_are_found_by_name_and_digest(with_a_promoted, text):
    assert with_a_promoted.models.find(text) == B.sha256


@pytest.mark.parametrize("text", ["student", "nobody", "b", "%"])
def test_ambiguous_or_unknown_model_names_list_what_there_is(with_a_promoted, text):
    with pytest.raises(CatalogueError, match="student@2"):
        with_a_promoted.models.find(text)


def test_evaluations_are_kept_per_model(with_a_promoted):
    summary = evaluation_summary(dict.fromkeys(SCORE_NAMES, 0.8), n_images=3, n_true=50)
    record = EvaluationRecord(A.sha256, "tnbc", "d" * 64, "e" * 64, summary, "/out")
    with_a_promoted.models.record_evaluation(record)

    assert with_a_promoted.models.evaluations(A.sha256) == (record,)
    assert with_a_promoted.models.evaluations(B.sha256) == ()
    with pytest.raises(CatalogueError, match="knows no model"):
        with_a_promoted.models.record_evaluation(dataclasses.replace(record, model_sha256="f" * 64))
