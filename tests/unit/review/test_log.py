import json
import threading

import pytest

from hoverfast_platform.errors import ReviewConflictError, SettingsError, StorageError
from hoverfast_platform.review.log import ReviewLog
from hoverfast_platform.review.state import Proposal, add_up

RING = ((0.0, 0.0), (9.0, 0.0), (9.0, 5.0))
OTHER = ((1.0, 1.0), (9.0, 1.0), (9.0, 5.0))


@pytest.fixture
def log(tmp_path):
    return ReviewLog(tmp_path / "corrections" / "s.edits.jsonl")


def state(log):
    return add_up(log.edits())


def reject(name, row=0, **more):
    return Proposal(kind="reject", targets=(name,), rows=(row,), **more)


def test_edits_add_up_and_say_who_and_when(log):
    log.add(reject("n1", 4), "Ada")
    log.add(Proposal(kind="add", outlines=(RING,), class_name="lymphocyte"), "Bo")
    log.add(Proposal(kind="split", targets=("n2",), rows=(5,), outlines=(RING, OTHER)), "Bo")
    found = state(log)
    assert found.removed == {"n1": 4, "n2": 5}
    assert [one.by for one in found.drawn.values()] == ["Bo", "Bo", "Bo"]
    assert next(iter(found.drawn.values())).class_name == "lymphocyte"
    assert log.edits()[0].at.endswith("+00:00")


def test_what_another_person_changed_meanwhile_is_refused_and_nothing_is_lost(log):
    log.add(reject("n1"), "Ada")
    with pytest.raises(ReviewConflictError, match="Ada changed this nucleus"):
        log.add(Proposal(kind="accept", targets=("n1",), rows=(0,), seen=0), "Bo")
    assert [edit.by for edit in log.edits()] == ["Ada"]


def test_two_people_work_on_different_nuclei_at_once(log):
    log.add(reject("n1"), "Ada")
    log.add(reject("n2", seen=0), "Bo")
    assert set(state(log).removed) == {"n1", "n2"}


def test_what_is_gone_cannot_be_changed(log):
    log.add(reject("n1"), "Ada")
    with pytest.raises(ReviewConflictError, match="gone already"):
        log.add(reject("n1", seen=1), "Ada")


def test_taking_back_restores_what_was_there(log):
    edit = log.add(Proposal(kind="redraw", targets=("n1",), rows=(0,), outlines=(RING,)), "Ada")
    log.add(Proposal(kind="undo", undoes=edit.number, seen=1), "Ada")
    assert state(log).removed == {}
    assert state(log).drawn == {}
    with pytest.raises(SettingsError, match="no edit 1 to take back"):
        log.add(Proposal(kind="undo", undoes=1, seen=2), "Ada")


def test_only_its_author_takes_an_edit_back(log):
    log.add(reject("n1"), "Ada")
    with pytest.raises(SettingsError, match="Ada's"):
        log.add(Proposal(kind="undo", undoes=1, seen=1), "Bo")


def test_what_another_edit_builds_on_is_not_taken_back(log):
    made = log.add(Proposal(kind="add", outlines=(RING,)), "Ada").made[0]
    log.add(reject(made, -1, seen=1), "Bo")
    with pytest.raises(ReviewConflictError, match=r"Edit 2 of Bo builds on it"):
        log.add(Proposal(kind="undo", undoes=1, seen=2), "Ada")


def test_a_drawn_nucleus_can_be_rejected(log):
    made = log.add(Proposal(kind="add", outlines=(RING,)), "Ada").made[0]
    log.add(reject(made, -1, seen=1), "Bo")
    assert state(log).drawn == {}


def test_edits_of_many_at_once_are_all_kept(log):
    def work(who):
        for i in range(5):
            log.add(reject(f"{who}-{i}"), who)

    threads = [threading.Thread(target=work, args=(name,)) for name in ("Ada", "Bo", "Cy")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [edit.number for edit in log.edits()] == list(range(1, 16))


@pytest.mark.parametrize(
    ("proposal", "says"),
    [
        (Proposal(kind="merge", targets=("a",), rows=(0,), outlines=(RING,)), "2 to 20"),
        (Proposal(kind="split", targets=("a",), rows=(0,), outlines=(RING,)), "2 to 8"),
        (Proposal(kind="set_class", targets=("a",), rows=(0,)), "name of a class"),
        (Proposal(kind="reject", targets=("a",)), "comes with its number"),
    ],
)
def test_an_edit_that_makes_no_sense_is_refused(log, proposal, says):
    with pytest.raises(SettingsError, match=says):
        log.add(proposal, "Ada")
    assert not log.path.exists()


def test_an_edit_without_a_name_is_refused(log):
    with pytest.raises(SettingsError, match="name of its author"):
        log.add(reject("n1"), " ")


def test_a_line_of_a_newer_version_is_not_told_to_be_removed_first(log):
    edit = log.add(reject("n1"), "Ada")
    newer = edit.model_dump(mode="json") | {"schema_version": 2, "a_field_of_the_future": 1}
    log.path.write_text(json.dumps(newer) + "\n")

    with pytest.raises(StorageError, match="made by a newer version") as refused:
        log.edits()
    assert refused.value.remedy.startswith("If a newer version of the program wrote it, update")


@pytest.mark.parametrize("wrong", [{"rows": []}, {"targets": []}, {"made": ["x"]}])
def test_a_line_whose_parts_do_not_fit_together_is_named(log, wrong):
    edit = log.add(reject("n1"), "Ada").model_dump(mode="json")
    log.path.write_text(json.dumps(edit | wrong) + "\n")

    with pytest.raises(StorageError, match="not an edit"):
        log.edits()


def test_a_damaged_line_is_named(log):
    log.add(reject("n1"), "Ada")
    log.path.write_bytes(log.path.read_bytes() + b'{"kind":"rej')
    with pytest.raises(StorageError, match="not an edit"):
        log.edits()
