"""What is asked for after a cohort or the model in use changed; nothing is computed here."""

import datetime
import json
from collections import Counter
from pathlib import Path

import dagster as dg
import pytest

from hoverfast_platform.assets.definitions import build_definitions
from hoverfast_platform.assets.learning_sensors import (
    MAX_RESEGMENTED_PER_RUN,
    cohort_changes,
    model_changes,
    resegment_slides,
)
from hoverfast_platform.assets.names import Names
from hoverfast_platform.catalogue import FailureRecord, ModelRecord, SlideRecord
from hoverfast_platform.catalogue.watched_files import Judged
from hoverfast_platform.cohorts.cohort import find_cohort
from hoverfast_platform.model.builtin_digests import BUILTIN_DIR
from hoverfast_platform.model.registry import DEFAULT_MODEL, weights_digest
from hoverfast_platform.use_cases.models import roll_back
from tests.builders import segmentation, verdict
from tests.dagster.parts import (
    cohort,
    model_evaluation,
    promoted_model,
    student_model,
    teacher_labels,
)


class Platform:
    """An instance whose sensors are ticked by hand."""

    def __init__(self, root, instance):
        self.instance = instance
        self.root = root
        self.reload()
        self.cursor = None

    def reload(self):
        """As the button of the UI does after a file of settings changed."""
        self.defs = build_definitions(self.root)
        self.store = self.defs.resources["store"]
        self.compute = self.defs.resources["compute"]

    def tick(self, sensor, **options):
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor)
        result = sensor(context, self.store, **options)
        if isinstance(result, dg.SkipReason):
            return result.skip_message
        self.cursor = result.cursor
        for request in result.dynamic_partitions_requests or ():
            self.instance.add_dynamic_partitions(
                request.partitions_def_name, request.partition_keys
            )
        return result.run_requests or result.skip_reason.skip_message

    def report(self, asset, version, partition=None):
        """As if a run had made an asset."""
        self.instance.report_runless_asset_event(
            dg.AssetMaterialization(
                asset, partition=partition, tags={"dagster/data_version": version}
            )
        )

    def slide(self, name, *models):
        """A slide of the catalogue and of Dagster, segmented by these models."""
        record = SlideRecord(name.ljust(64, "0"), name, name, "v", 1, 1, 0.25, 0.25, "file")
        with self.store.open_catalogue() as catalogue:
            key = catalogue.slides.register(record)
            for model in models:
                catalogue.results.record(
                    segmentation(f"{name} {model}", record, made_from={"model": {"sha256": model}})
                )
        self.instance.add_dynamic_partitions("slides", [key])
        return key

    def run(self, tags, status=dg.DagsterRunStatus.STARTED):
        """As if a run with these tags had come that far."""
        self.instance.add_run(dg.DagsterRun(job_name="any", tags=tags, status=status))


@pytest.fixture
def platform(tmp_path):
    with dg.DagsterInstance.ephemeral() as instance:
        yield Platform(tmp_path, instance)


def write_plan(platform, **settings):
    path = platform.store.learning().plan("skin")
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"slides_like": "skin*"} | settings))


def test_changed_cohort_is_asked_for_once(platform):
    write_plan(platform)
    assert "none matches" in platform.tick(cohort_changes, quiet_s=0)
    assert platform.instance.get_dynamic_partitions("cohorts") == ["skin"]
    platform.slide("skin1")

    (request,) = platform.tick(cohort_changes, quiet_s=0)
    (again,) = platform.tick(cohort_changes, quiet_s=0)

    assert request.partition_key == "skin"
    assert request.run_key == again.run_key  # the daemon starts one run per key
    with platform.store.open_catalogue() as catalogue:
        folder = platform.store.learning()
        catalogue.cohorts.record(find_cohort(folder, catalogue.slides.all(), "skin"), {})
    assert platform.tick(cohort_changes, quiet_s=0) == "1 cohorts, none changed"


def test_wrong_plan_fails_its_cohort_once_and_names_the_field(platform):
    write_plan(platform, teatcher="classical")

    (request,) = platform.tick(cohort_changes, quiet_s=0)
    (again,) = platform.tick(cohort_changes, quiet_s=0)

    assert (request.partition_key, request.asset_selection) == ("skin", [cohort.key])
    assert request.run_key == again.run_key
    result = dg.materialize(
        [cohort],
        partition_key="skin",
        instance=platform.instance,
        resources=platform.defs.resources,
        raise_on_error=False,
    )
    failure = result.failure_data_for_node("cohort").user_failure_data
    assert "teatcher" in failure.description


def test_cohort_waits_for_quiet_and_while_it_is_learned_from(platform):
    write_plan(platform)
    platform.slide("skin1")
    assert "for more" in platform.tick(cohort_changes, quiet_s=600)
    platform.cursor = None
    platform.run({"dagster/partition": "skin"})
    assert "being learned from" in platform.tick(cohort_changes, quiet_s=0)


def test_chain_follows_a_changed_cohort_once_also_when_the_gate_refuses():
    """With the conditions of the real assets, which compute nothing here."""
    content = {"cohort": "1", "passes": True}
    n_made = Counter()

    def product(name, dep, condition, checks):
        @dg.asset(
            name=name,
            deps=[dep] if dep else [],
            partitions_def=Names().cohorts,
            automation_condition=condition,
            output_required=False,
            check_specs=list(checks),
        )
        def made():
            n_made[name] += 1
            version = dg.DataVersion(f"{name} {content['cohort']} {content['passes']}")
            passed = content["passes"]
            severity = dg.AssetCheckSeverity.WARN
            yield dg.MaterializeResult(
                data_version=version,
                check_results=[
                    dg.AssetCheckResult(passed=passed, check_name=check.name, severity=severity)
                    for check in checks
                ],
            )

        return made

    real = [cohort, teacher_labels, student_model, model_evaluation, promoted_model]
    names = [asset.key.to_user_string() for asset in real]
    fakes = [
        product(name, dep, asset.get_asset_spec().automation_condition, asset.check_specs)
        for name, dep, asset in zip(names, [None, *names], real, strict=False)
    ]
    cursor = None
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("cohorts", ["skin"])

        def tick():
            nonlocal cursor
            result = dg.evaluate_automation_conditions(fakes, instance, cursor=cursor)
            cursor = result.cursor
            asked = [fake for fake in fakes if result.get_num_requested(fake.key)]
            if asked:
                dg.materialize(fakes, selection=asked, partition_key="skin", instance=instance)
            return len(asked)

        def change(version):
            content["cohort"] = version
            dg.materialize(fakes, selection=["cohort"], partition_key="skin", instance=instance)
            return [tick() for _ in range(3)]

        assert tick() == 0
        assert change("1") == [3, 1, 0]  # the student is promoted once the gate has spoken
        assert change("1") == [0, 0, 0]  # made again, nothing changed
        content["passes"] = False
        assert change("2") == [3, 0, 0]
        content["passes"] = True
        evaluated = {"selection": ["model_evaluation"], "partition_key": "skin"}
        dg.materialize(fakes, instance=instance, **evaluated)  # another gate, the same student
        assert [tick() for _ in range(2)] == [1, 0]
    assert n_made["promoted_model"] == 2


def test_slides_that_came_while_nothing_ran_by_itself_are_asked_for_at_once(platform):
    done, new = platform.slide("skin1"), platform.slide("skin2")
    for asset in ("segmentation_model", "mask_settings", "segmentation_settings"):
        platform.report(asset, "m")
    for asset in ("slide", "stain", "tissue_mask", "nuclei"):
        platform.report(asset, "1", done)

    first = dg.evaluate_automation_conditions(platform.defs, platform.instance)

    for asset in ("slide", "stain", "tissue_mask", "nuclei"):
        assert first.get_requested_partitions(dg.AssetKey(asset)) == {new}
    second = dg.evaluate_automation_conditions(
        platform.defs, platform.instance, cursor=first.cursor
    )
    assert second.total_requested == 0


def test_promotion_makes_no_slide_again_by_itself(platform):
    key = platform.slide("skin1")
    for asset in ("segmentation_model", "mask_settings", "segmentation_settings"):
        platform.report(asset, "old")
    for asset in ("slide", "stain", "tissue_mask", "nuclei"):
        platform.report(asset, "1", key)
    first = dg.evaluate_automation_conditions(platform.defs, platform.instance)

    platform.report("segmentation_model", "new")

    second = dg.evaluate_automation_conditions(
        platform.defs, platform.instance, cursor=first.cursor
    )
    assert second.total_requested == 0
    platform.report("tissue_mask", "2", key)
    third = dg.evaluate_automation_conditions(
        platform.defs, platform.instance, cursor=second.cursor
    )
    assert third.total_requested == 1


def test_model_in_use_is_looked_at_after_every_promotion(platform):
    assert len(platform.tick(model_changes, compute=platform.compute)) == 1
    built_in = BUILTIN_DIR / f"{DEFAULT_MODEL}.safetensors"
    platform.report("segmentation_model", weights_digest(built_in))
    assert "still" in platform.tick(model_changes, compute=platform.compute)

    other = Path(platform.store.root) / "other.safetensors"
    other.write_bytes(b"weights")
    sha256 = weights_digest(other)
    with platform.store.open_catalogue() as catalogue:
        catalogue.models.register(ModelRecord(sha256, "m", "1", str(other), {}))
        catalogue.models.promote(
            sha256, replaces=None, reason="better", verdict=verdict("dice 0.81")
        )

    assert len(platform.tick(model_changes, compute=platform.compute)) == 1
    other.unlink()
    assert "cannot be read" in platform.tick(model_changes, compute=platform.compute)


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


def test_one_run_at_a_time_makes_slides_again(platform):
    platform.slide("a", "old")
    platform.run({"hoverfast/why": "made by another model"})
    assert "under way" in platform.tick(resegment_slides, compute=platform.compute)
