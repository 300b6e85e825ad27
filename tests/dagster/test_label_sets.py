"""Annotated tiles as partitions, and cohorts that name them."""

import json

import dagster as dg
import numpy as np
import pytest

from hoverfast_platform.assets.definitions import build_definitions
from hoverfast_platform.assets.label_sets import label_sets_made
from hoverfast_platform.catalogue import Catalogue
from hoverfast_platform.cohorts.cohort import LearningFolder, find_cohort
from hoverfast_platform.cohorts.label_sets import find_label_sets
from hoverfast_platform.errors import LabelError
from hoverfast_platform.model.card import LabelSource
from hoverfast_platform.storage.patch_table import LabelProvenance, Patch
from hoverfast_platform.storage.patch_table_writer import PatchTableWriter
from tests.dagster.parts import cohort, model_evaluation, student_model, teacher_labels

OURS = LabelSource(name="ours", licence="CC0-1.0")
FLOORS = {"min_dice": 0, "min_aji": 0, "min_pq": 0, "min_f1": 0, "min_images": 1, "min_nuclei": 1}
PLAN = {
    "label_sets": ["tiles"],
    "training": {"n_steps": 2, "batch_size": 1, "crop_px": 64, "n_loaders": 0,
                 "learning_rate": 1e-9, "warmup_steps": 0, "ema_decay": 0.0},
    "gate": FLOORS,
}  # fmt: skip


def write_side(path, seed):
    """One image of 96 x 128 px with six discs as nuclei, of a patient of its own."""
    rng = np.random.default_rng(seed)
    label = np.zeros((96, 128), np.int32)
    y, x = np.ogrid[:96, :128]
    for i in range(6):
        label[(y - 16 - 32 * (i // 3)) ** 2 + (x - 20 - 40 * (i % 3)) ** 2 < 60] = i + 1
    image = np.where(label[..., None] > 0, (90, 60, 140), (225, 180, 210))
    image = np.clip(image + rng.normal(0, 8, image.shape), 0, 255).astype(np.uint8)
    made = LabelProvenance(teacher="people", labels=(OURS,))
    path.parent.mkdir(parents=True, exist_ok=True)
    with PatchTableWriter(path, mpp=0.25, patch_px=128, provenance=made) as writer:
        writer.append(Patch(image, label, f"image{seed}", f"patient{seed}"))


@pytest.fixture
def root(tmp_path):
    """An artefact folder with a label set and a cohort that names it, and no slide."""
    write_side(tmp_path / "label_sets" / "tiles_train.pytable", 1)
    write_side(tmp_path / "label_sets" / "tiles_test.pytable", 2)
    (tmp_path / "cohorts").mkdir()
    (tmp_path / "cohorts" / "annotated.json").write_text(json.dumps(PLAN))
    return tmp_path


def test_a_changed_label_set_is_another_cohort(root):
    folder = LearningFolder(root)
    before = find_cohort(folder, (), "annotated")
    assert before.members == ()
    assert find_cohort(folder, (), "annotated").digest == before.digest

    write_side(root / "label_sets" / "tiles_test.pytable", 3)

    assert find_cohort(folder, (), "annotated").digest != before.digest


def test_a_label_set_that_is_missing_is_named(root):
    (root / "label_sets" / "tiles_train.pytable").unlink()

    with pytest.raises(LabelError, match=r"no label set 'tiles'.*teacher-labels NAME"):
        find_cohort(LearningFolder(root), (), "annotated")


def test_other_files_beside_label_sets_are_not_taken_for_some(root):
    for name in ("notes.txt", "other_test.pytable", "a b_train.pytable"):
        (root / "label_sets" / name).write_text("")

    assert [found.name for found in find_label_sets(root / "label_sets")] == ["tiles"]


def test_a_new_or_changed_label_set_is_told_once_as_a_partition(root):
    store = build_definitions(root).resources["store"]
    with dg.DagsterInstance.ephemeral() as instance:

        def look(cursor):
            return label_sets_made(dg.build_sensor_context(instance=instance, cursor=cursor), store)

        first = look(None)
        (event,) = first.asset_events
        assert (event.asset_key, event.partition) == (dg.AssetKey("label_set"), "tiles")
        assert event.metadata["n_nuclei"].value == 6
        assert event.metadata["licences"].value == "CC0-1.0"
        (added,) = first.dynamic_partitions_requests
        assert (added.partitions_def_name, added.partition_keys) == ("label_sets", ["tiles"])
        assert isinstance(look(first.cursor), dg.SkipReason)

        write_side(root / "label_sets" / "tiles_train.pytable", 4)
        (root / "label_sets" / "bad_train.pytable").write_bytes(b"not HDF5")
        second = look(first.cursor)
        assert [event.partition for event in second.asset_events] == ["tiles"]
        assert "bad: " in look(second.cursor).skip_message


def test_a_cohort_of_label_sets_alone_is_learned_from_and_judged(root):
    resources = dict(build_definitions(root).resources)
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("cohorts", ["annotated"])
        result = dg.materialize(
            [cohort, teacher_labels, student_model, model_evaluation],
            partition_key="annotated",
            instance=instance,
            resources=resources,
        )

    assert result.success
    (labels,) = result.asset_materializations_for_node("teacher_labels")
    assert labels.metadata["n_training_nuclei"].value == 6
    assert labels.metadata["validation_patients"].value == "patient2"
    with Catalogue.open(root / "catalogue.sqlite") as catalogue:
        (student,) = (m for m in catalogue.models.standings() if m.name == "annotated-v1")
        ancestry = catalogue.descent.ancestry(student.sha256)
    assert [label["name"] for label in student.card["labels"]][-1] == "ours"
    assert "ours" in str(ancestry)
