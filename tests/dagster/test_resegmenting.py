"""Which slides are asked for again because another model is in use; nothing is computed here."""

import datetime
import json
from pathlib import Path

import dagster as dg
import pytest

from hoverfast_platform.assets.learning_sensors import MAX_RESEGMENTED_PER_RUN, resegment_slides
from hoverfast_platform.catalogue import FailureRecord, ModelRecord, SlideRecord
from hoverfast_platform.catalogue.watched_files import Judged
from hoverfast_platform.model.registry import DEFAULT_MODEL, weights_digest
from hoverfast_platform.use_cases.model_stages import roll_back
from tests.builders import verdict
from tests.dagster.ticked_platform import Platform


@pytest.fixture
def platform(tmp_path):
    with dg.DagsterInstance.ephemeral() as instance:
        yield Platform(tmp_path, instance)


def asked_for(platform):
    """First and last slide of the run that is asked for, or why none is."""
    asked = platform.tick(resegment_slides, compute=platform.compute)
    if isinstance(asked, str):
        return asked
    (request,) = asked
    return tuple(
        request.tags[f"dagster/asset_partition_range_{side}"] for side in ("start", "end")
    ), request.tags


def test_slides_of_another_model_are_made_again_in_bounded_runs(platform):
    now = platform.compute.model_in_use(platform.store).sha256
    platform.slide("a", "old", now)
    names = [f"b{i:02}" for i in range(MAX_RESEGMENTED_PER_RUN + 2)]
    keys = [platform.slide(name, "old") for name in names]
    platform.slide("c")
    last = platform.slide("d", "old")

    ranges = []
    while not isinstance(asked := asked_for(platform), str):
        ranges.append(asked[0])
        first, end = keys.index(asked[0][0]) if asked[0][0] in keys else None, asked[0][1]
        done = names[first : keys.index(end) + 1] if first is not None else ["d"]
        for name in done:
            platform.slide(name, now)

    assert ranges == [
        (keys[0], keys[MAX_RESEGMENTED_PER_RUN - 1]),
        (keys[-2], keys[-1]),
        (last, last),
    ]
    assert "none left to do: 0 slides" in asked


def test_slides_of_a_model_that_was_rolled_back_are_made_again(platform):
    """The model that ships, a student, the model that ships again: the student's nuclei go."""
    shipped = platform.compute.model_in_use(platform.store).sha256
    student = Path(platform.store.root) / "student.safetensors"
    student.write_bytes(b"weights")
    sha256 = weights_digest(student)
    with platform.store.open_catalogue() as catalogue:
        catalogue.models.register(ModelRecord(sha256, "student", "1", str(student), {}))
        catalogue.models.promote(sha256, replaces=None, reason="b", verdict=verdict("dice 0.8"))
    key = platform.slide("a", shipped)
    assert asked_for(platform)[0] == (key, key)
    platform.slide("a", sha256)
    assert "none left" in asked_for(platform)

    with platform.store.open_catalogue() as catalogue:
        roll_back(catalogue, DEFAULT_MODEL, reason="it finds keratin")

    assert asked_for(platform)[0] == (key, key)
    platform.slide("a", shipped)
    assert "none left" in asked_for(platform)
    with platform.store.open_catalogue() as catalogue:
        first, second = catalogue.results.lineage(key).entries
    assert [first.provenance.model.sha256, first.is_current] == [shipped, True]
    assert [second.provenance.model.sha256, second.is_current] == [sha256, False]


def test_cancelled_run_is_asked_for_again(platform):
    key = platform.slide("a", "old")
    _, tags = asked_for(platform)
    platform.run(tags, dg.DagsterRunStatus.CANCELED)

    assert asked_for(platform)[0] == (key, key)


def test_slides_without_their_file_and_those_that_failed_since_are_left_alone(platform):
    failed, fine = platform.slide("a", "old"), platform.slide("b", "old")
    away, replaced = platform.slide("c", "old"), platform.slide("d", "old")
    now = datetime.datetime.now(datetime.UTC)
    with platform.store.open_catalogue() as catalogue:
        files = catalogue.files
        files.update("/w", {"c": "1", "d": "1"}, now=now, settle_s=0, all_listed=True)
        files.update("/w", {"c": "1", "d": "1"}, now=now, settle_s=0, all_listed=True)
        records = [SlideRecord(n.ljust(64, "0"), n, n, "v", 1, 1, 0.25, 0.25, "file") for n in "cd"]
        ready = files.ready(2)
        files.record([Judged(*pair) for pair in zip(ready, records, strict=True)], now)
        files.update("/w", {"d": "2"}, now=now, settle_s=0, all_listed=True)
        catalogue.results.record_failure(
            FailureRecord("a", "defect", "odd", "", "r", slide_key=failed, step="nuclei")
        )

    assert asked_for(platform)[0] == (fine, fine)
    platform.slide("b", platform.compute.model_in_use(platform.store).sha256)
    assert "3 slides are of other models, 1 of them failed since, 2 have no" in asked_for(platform)
    assert {away, replaced}.isdisjoint({failed, fine})


def test_slide_that_ends_its_runs_is_given_up_after_three_times(platform):
    keys = [platform.slide(f"b{i:02}", "old") for i in range(10)]
    ends = []
    for _ in range(3):
        (start, end), tags = asked_for(platform)
        assert start == keys[0]
        ends.append(end)
        platform.run(tags, dg.DagsterRunStatus.FAILURE)

    assert ends == [keys[9], keys[7], keys[0]]
    assert asked_for(platform)[0] == (keys[1], keys[9])


def test_runs_that_a_busy_machine_never_started_are_not_held_against_a_slide(platform):
    key = platform.slide("a", "old")
    for _ in range(3):
        _, tags = asked_for(platform)
        platform.run(tags, dg.DagsterRunStatus.FAILURE, has_started=False)

    assert asked_for(platform)[0] == (key, key)


def test_slides_are_made_with_the_model_of_their_scope(platform):
    (Path(platform.store.root) / "scopes.json").write_text(
        json.dumps({"rules": [{"files": "breast*", "scope": "breast"}]})
    )
    platform.reload()
    shipped = platform.compute.model_in_use(platform.store).sha256
    student = Path(platform.store.root) / "student.safetensors"
    student.write_bytes(b"weights")
    sha256 = weights_digest(student)
    with platform.store.open_catalogue() as catalogue:
        catalogue.models.register(ModelRecord(sha256, "s", "1", str(student), {}), scope="breast")
        catalogue.models.promote(
            sha256, replaces=None, reason="b", verdict=verdict("dice 0.8"), scope="breast"
        )
    breast, _ = platform.slide("breast", shipped), platform.slide("skin", shipped)

    assert asked_for(platform)[0] == (breast, breast)
    assert platform.compute.model_in_use(platform.store, "breast").path == student
    assert platform.compute.model_in_use(platform.store, "skin").sha256 == shipped


def test_slides_at_20x_are_made_with_the_model_that_ships_for_them(platform):
    at_40x = platform.compute.model_in_use(platform.store).sha256
    at_20x = platform.compute.model_in_use(platform.store, mpp=0.5).sha256
    platform.slide("a", at_40x)
    platform.slide("b", at_20x, mpp=0.5)
    older = platform.slide("c", at_40x, mpp=0.5)

    assert asked_for(platform)[0] == (older, older)


def test_one_run_at_a_time_makes_slides_again(platform):
    platform.slide("a", "old")
    platform.run({"hoverfast/why": "made by another model"})
    assert "under way" in platform.tick(resegment_slides, compute=platform.compute)
