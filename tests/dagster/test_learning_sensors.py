"""What is asked for after a cohort or the model in use changed; nothing is computed here."""

import json
from collections import Counter
from pathlib import Path

import dagster as dg
import pytest

from hoverfast_platform.assets.definitions import build_definitions
from hoverfast_platform.assets.learning import (
    cohort,
    model_evaluation,
    promoted_model,
    student_model,
    teacher_labels,
)
from hoverfast_platform.assets.learning_sensors import (
    MAX_RESEGMENTED_PER_RUN,
    cohort_changes,
    model_changes,
    resegment_slides,
)
from hoverfast_platform.assets.partitions import cohorts
from hoverfast_platform.catalogue import ModelRecord, SlideRecord
from hoverfast_platform.cohorts.cohort import find_cohort
from hoverfast_platform.model.builtin_digests import BUILTIN_DIR
from hoverfast_platform.model.registry import DEFAULT_MODEL, weights_digest
from hoverfast_platform.resources.patience import Patience
from tests.builders import segmentation, verdict


class Platform:
    """An instance whose sensors are ticked by hand."""

    def __init__(self, root, instance):
        self.instance = instance
        self.defs = build_definitions(root)
        self.store = self.defs.resources["store"]
        self.compute = self.defs.resources["compute"]
        self.cursor = None

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

    def unfinished_run(self, tags):
        job = dg.Definitions.merge(self.defs).resolve_implicit_global_asset_job_def()
        self.instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.STARTED)


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
    assert "none matches" in platform.tick(cohort_changes, patience=Patience(quiet_s=0))
    assert platform.instance.get_dynamic_partitions("cohorts") == ["skin"]
    platform.slide("skin1")

    (request,) = platform.tick(cohort_changes, patience=Patience(quiet_s=0))
    (again,) = platform.tick(cohort_changes, patience=Patience(quiet_s=0))

    assert request.partition_key == "skin"
    assert request.run_key == again.run_key  # the daemon starts one run per key
    with platform.store.open_catalogue() as catalogue:
        folder = platform.store.learning()
        catalogue.cohorts.record(find_cohort(folder, catalogue.slides.all(), "skin"), {})
    assert platform.tick(cohort_changes, patience=Patience(quiet_s=0)) == "1 cohorts, none changed"


def test_cohort_waits_for_quiet_and_while_it_is_learned_from(platform):
    write_plan(platform)
    platform.slide("skin1")
    assert "for more" in platform.tick(cohort_changes, patience=Patience(quiet_s=600))
    platform.cursor = None
    platform.unfinished_run({"dagster/partition": "skin"})
    assert "being learned from" in platform.tick(cohort_changes, patience=Patience(quiet_s=0))


def test_chain_follows_a_changed_cohort_once_also_when_the_gate_refuses():
    """With the conditions of the real assets, which compute nothing here."""
    content = {"cohort": "1", "passes": True}
    n_made = Counter()

    def product(name, dep, condition):
        @dg.asset(
            name=name,
            deps=[dep] if dep else [],
            partitions_def=cohorts,
            automation_condition=condition,
            output_required=False,
        )
        def made():
            n_made[name] += 1
            if name != "promoted_model" or content["passes"]:
                version = dg.DataVersion(f"{name} {content['cohort']}")
                yield dg.MaterializeResult(data_version=version)

        return made

    real = [cohort, teacher_labels, student_model, model_evaluation, promoted_model]
    names = [asset.key.to_user_string() for asset in real]
    fakes = [
        product(name, dep, asset.get_asset_spec().automation_condition)
        for name, dep, asset in zip(names, [None, *names], real, strict=False)
    ]
    cursor = None
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(str(cohorts.name), ["skin"])

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
        assert change("1") == [4, 0, 0]
        assert change("1") == [0, 0, 0]  # made again, nothing changed
        content["passes"] = False
        assert change("2") == [4, 0, 0]
        assert change("3") == [4, 0, 0]
    assert n_made["promoted_model"] == 3


def test_slides_that_came_while_nothing_ran_by_itself_are_asked_for_at_once(platform):
    done, new = platform.slide("skin1"), platform.slide("skin2")
    platform.report("segmentation_model", "m")
    for asset in ("slide", "tissue_mask", "nuclei"):
        platform.report(asset, "1", done)

    first = dg.evaluate_automation_conditions(platform.defs, platform.instance)

    for asset in ("slide", "tissue_mask", "nuclei"):
        assert first.get_requested_partitions(dg.AssetKey(asset)) == {new}
    second = dg.evaluate_automation_conditions(
        platform.defs, platform.instance, cursor=first.cursor
    )
    assert second.total_requested == 0


def test_promotion_makes_no_slide_again_by_itself(platform):
    key = platform.slide("skin1")
    platform.report("segmentation_model", "old")
    for asset in ("slide", "tissue_mask", "nuclei"):
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


def test_slides_of_another_model_are_made_again_in_bounded_runs(platform):
    now = weights_digest(platform.compute.model_path())
    done = platform.slide("a", "old", now)
    keys = [platform.slide(f"b{i:02}", "old") for i in range(MAX_RESEGMENTED_PER_RUN + 2)]
    never = platform.slide("c")
    last = platform.slide("d", "old")

    ranges = []
    while not isinstance(asked := platform.tick(resegment_slides, compute=platform.compute), str):
        (request,) = asked
        tags = request.tags
        ranges.append(
            (tags["dagster/asset_partition_range_start"], tags["dagster/asset_partition_range_end"])
        )

    # Nothing was made: each is asked for once all the same, so a bad slide does not loop.
    assert ranges == [
        (keys[0], keys[MAX_RESEGMENTED_PER_RUN - 1]),
        (keys[-2], keys[-1]),
        (last, last),
    ]
    assert {done, never}.isdisjoint(key for block in ranges for key in block)


def test_one_run_at_a_time_makes_slides_again(platform):
    platform.slide("a", "old")
    platform.unfinished_run({"hoverfast/why": "made by another model"})
    assert "under way" in platform.tick(resegment_slides, compute=platform.compute)
