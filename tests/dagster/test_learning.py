"""A cohort through the real assets: labelled, trained on, judged, promoted or not."""

import json

import dagster as dg
import pytest

from hoverfast_platform.assets.definitions import build_definitions
from hoverfast_platform.assets.learning_sensors import cohort_changes
from hoverfast_platform.catalogue import Catalogue
from hoverfast_platform.synthetic import write_synthetic_slide
from tests.dagster.parts import (
    cohort,
    model_evaluation,
    promoted_model,
    segmentation_model,
    student_model,
    teacher_labels,
)

ALL = [cohort, teacher_labels, student_model, model_evaluation, promoted_model]
FLOORS = {"min_dice": 0, "min_aji": 0, "min_pq": 0, "min_f1": 0, "min_images": 1, "min_nuclei": 1}


@pytest.fixture
def platform(tmp_path):
    """Resources and an instance with two registered slides and a cohort's plan."""
    root = tmp_path / "artefacts"
    resources = dict(build_definitions(root).resources)
    for i in range(2):
        path = tmp_path / f"p{i}_breast.tiff"
        write_synthetic_slide(path, width_px=544, height_px=460, seed=i)
        resources["store"].register(path)
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("cohorts", ["breast"])
        yield root, resources, instance


def write_plan(root, **changes):
    plan = {
        "slides_like": "*_breast.tiff",
        "patient_pattern": "^(p[0-9])_",
        "teacher": "classical",
        "sampling": {"tiles_per_slide": 1, "tile_px": 128, "validation_fraction": 0.5},
        "training": {"n_steps": 2, "batch_size": 1, "crop_px": 64, "n_loaders": 0,
                     "learning_rate": 1e-9, "warmup_steps": 0, "ema_decay": 0.0},
        "gate": FLOORS,
    } | changes  # fmt: skip
    path = root / "cohorts" / "breast.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(plan))


def materialize(platform, assets=ALL, **options):
    _, resources, instance = platform
    return dg.materialize(
        assets, partition_key="breast", instance=instance, resources=resources, **options
    )


def gate_of(result):
    (check,) = result.get_asset_check_evaluations()
    return check


def test_from_slides_to_a_promoted_student(platform):
    root, resources, _ = platform
    # The learning rate is next to nothing: the student is as good as its parent.
    write_plan(root, gate=FLOORS | {"tolerance": 0.1})

    result = materialize(platform)

    assert result.success
    assert gate_of(result).passed, gate_of(result).description
    (labels,) = result.asset_materializations_for_node("teacher_labels")
    assert labels.metadata["n_training_nuclei"].value > 0
    assert "data:image/webp" in labels.metadata["example"].value
    (student,) = result.asset_materializations_for_node("student_model")
    assert "data:image/webp" in student.metadata["curves"].value
    (judged,) = result.asset_materializations_for_node("model_evaluation")
    picture = judged.metadata["agreement_1"].value
    name, legend = picture.rsplit("**", 2)[1:]
    assert "p1" in name or "p0" in name
    assert legend.endswith("magenta: only the labels")
    (made,) = result.asset_materializations_for_node("cohort")
    assert made.metadata["plan"].value["slides_like"] == "*_breast.tiff"
    (promoted,) = result.asset_materializations_for_node("promoted_model")
    assert promoted.metadata["model"].value.startswith("breast-v1 ")
    with Catalogue.open(root / "catalogue.sqlite") as catalogue:
        standing = catalogue.models.promoted()
    assert standing.card["cohort"] == "breast v1"
    with dg.DagsterInstance.ephemeral() as instance:
        looked = dg.materialize([segmentation_model], instance=instance, resources=resources)
    (in_use,) = looked.asset_materializations_for_node("segmentation_model")
    assert in_use.metadata["sha256"].value == standing.sha256
    assert in_use.tags["dagster/data_version"] == standing.sha256
    # What segments slides from now on:
    engine = resources["compute"].engine(resources["store"])
    assert engine.model.digest == standing.sha256
    resources["compute"].teardown_after_execution(dg.build_init_resource_context())


def test_worse_student_stays_a_candidate_and_says_why(platform):
    root, _, _ = platform
    write_plan(root, gate=FLOORS | {"min_pq": 1.0})

    result = materialize(platform)

    assert result.success
    assert not gate_of(result).passed
    assert "below the floor" in gate_of(result).description
    assert not result.asset_materializations_for_node("promoted_model")
    with Catalogue.open(root / "catalogue.sqlite") as catalogue:
        assert catalogue.models.promoted() is None
        stages = {m.name: m.stage for m in catalogue.models.standings()}
    # What ships was measured too, and is registered like any other.
    assert stages == {"breast-v1": "candidate", "cross-organ": "candidate"}


def test_another_gate_judges_the_student_again_and_trains_nothing(platform):
    root, resources, instance = platform
    write_plan(root, gate=FLOORS | {"min_pq": 1.0})
    assert not gate_of(materialize(platform)).passed
    written = (root / "students/breast-v1/student.safetensors").stat().st_mtime_ns

    def look():
        context = dg.build_sensor_context(instance=instance)
        return cohort_changes(context, resources["store"], quiet_s=0).run_requests

    assert look() == []
    write_plan(root, gate=FLOORS | {"tolerance": 0.1}, scope="breast")
    (request,) = look()

    assert request.asset_selection == [model_evaluation.key]
    again = materialize(platform, [model_evaluation])
    assert gate_of(again).passed, gate_of(again).description
    with Catalogue.open(root / "catalogue.sqlite") as catalogue:
        scopes = {m.scope for m in catalogue.models.standings() if m.name == "breast-v1"}
    assert scopes == {"default", "breast"}
    assert (root / "students/breast-v1/student.safetensors").stat().st_mtime_ns == written
    assert look() == []


def test_cohort_has_a_new_version_only_when_something_changed(platform, tmp_path):
    root, resources, _ = platform

    def version():
        (event,) = materialize(platform, [cohort]).asset_materializations_for_node("cohort")
        return event.metadata["version"].value, event.metadata["n_slides"].value

    write_plan(root)
    assert version() == (1, 2)
    assert version() == (1, 2)
    write_synthetic_slide(tmp_path / "p2_breast.tiff", width_px=332, height_px=280, seed=9)
    resources["store"].register(tmp_path / "p2_breast.tiff")
    assert version() == (2, 3)
    write_plan(root, sampling={"tile_px": 64})
    assert version() == (3, 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"slides_like": "*.ndpi"}, "none matches"),
        ({"slides": ["nobody"]}, "not registered"),
        ({"sampling": {"tiles": 3}}, "tiles"),
        ({"patient_pattern": "p[0-9]"}, "one group"),
        ({"labels": {"folder": "nowhere"}}, "no folder of labels"),
    ],
)
def test_wrong_plan_is_explained(platform, changes, message):
    write_plan(platform[0], **changes)

    result = materialize(platform, [cohort], raise_on_error=False)

    assert not result.success
    assert message in str(result.failure_data_for_node("cohort").error)


def test_missing_plan_is_explained(platform):
    result = materialize(platform, [cohort], raise_on_error=False)

    assert "no plan of the cohort" in str(result.failure_data_for_node("cohort").error)
