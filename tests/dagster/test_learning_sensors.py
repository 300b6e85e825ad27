"""What is asked for after a cohort or the model in use changed; nothing is computed here."""

import json
from collections import Counter
from pathlib import Path

import dagster as dg
import pytest

from hoverfast_platform.assets.learning_sensors import (
    cohort_changes,
    model_changes,
)
from hoverfast_platform.assets.names import Names
from hoverfast_platform.assets.segmentation_model import models_version
from hoverfast_platform.catalogue import ModelRecord
from hoverfast_platform.cohorts.cohort import find_cohort
from hoverfast_platform.model.builtin_digests import BUILTIN_DIR
from hoverfast_platform.model.registry import weights_digest
from tests.builders import verdict
from tests.dagster.parts import (
    cohort,
    model_evaluation,
    promoted_model,
    student_model,
    teacher_labels,
)
from tests.dagster.ticked_platform import Platform


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
    learned(platform)
    assert platform.tick(cohort_changes, quiet_s=0) == "1 cohorts, none changed"


def learned(platform):
    """As if the newest version of the cohort had been resolved."""
    with platform.store.open_catalogue() as catalogue:
        folder = platform.store.learning()
        catalogue.cohorts.record(find_cohort(folder, catalogue.slides.all(), "skin"), {})


STEPS = ["model_evaluation", "student_model", "teacher_labels"]


def test_cancelled_learning_is_asked_for_again_after_the_quiet_time(platform):
    write_plan(platform)
    platform.slide("skin1")
    learned(platform)
    run_id = platform.run({"dagster/partition": "skin"}, dg.DagsterRunStatus.CANCELED, STEPS)

    assert "cancelled, is asked for again in" in platform.tick(cohort_changes, quiet_s=600)
    (request,) = platform.tick(cohort_changes, quiet_s=0)

    assert [key.to_user_string() for key in request.asset_selection] == STEPS
    assert (request.partition_key, request.run_key) == ("skin", f"skin after {run_id}")
    platform.run({"dagster/partition": "skin"}, dg.DagsterRunStatus.STARTED, STEPS)
    assert "none changed" in platform.tick(cohort_changes, quiet_s=0)


@pytest.mark.parametrize(
    ("status", "assets"),
    [
        (dg.DagsterRunStatus.FAILURE, STEPS),
        (dg.DagsterRunStatus.SUCCESS, STEPS),
        (dg.DagsterRunStatus.CANCELED, ["somebody_elses"]),
    ],
)
def test_nothing_but_cancelled_learning_is_asked_for_again(platform, status, assets):
    write_plan(platform)
    platform.slide("skin1")
    learned(platform)
    platform.run({"dagster/partition": "skin"}, dg.DagsterRunStatus.CANCELED, STEPS)
    platform.run({"dagster/partition": "skin"}, status, assets)

    assert "none changed" in platform.tick(cohort_changes, quiet_s=0)


def test_change_whose_run_was_cancelled_is_asked_for_under_another_key(platform):
    write_plan(platform)
    platform.slide("skin1")
    (first,) = platform.tick(cohort_changes, quiet_s=0)
    platform.run({"dagster/partition": "skin"}, dg.DagsterRunStatus.CANCELED, ["cohort"])

    (second,) = platform.tick(cohort_changes, quiet_s=0)

    assert second.asset_selection == first.asset_selection == [cohort.key]
    assert second.run_key != first.run_key  # the daemon starts one run per key


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
    shipped = {
        slides: weights_digest(BUILTIN_DIR / f"{name}.safetensors")
        for slides, name in (
            ("default", "cross-organ"),
            ("default, slides at 20x", "cross-organ-20x"),
        )
    }
    platform.report("segmentation_model", models_version(shipped))
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
