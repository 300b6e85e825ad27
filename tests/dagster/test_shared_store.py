"""Machines that share an object store and a catalogue, and no folder."""

import json
import subprocess
import sys

import dagster as dg
import pytest
from pydantic import ValidationError

from hoverfast_platform.assets.corrections import corrections_made
from hoverfast_platform.assets.definitions import build_definitions
from hoverfast_platform.assets.label_sets import label_sets_made
from hoverfast_platform.assets.sensors import lost_runs
from hoverfast_platform.catalogue import CohortRecord, ModelRecord
from hoverfast_platform.cohorts.cohort import LearningFolder
from hoverfast_platform.errors import CheckpointError, SettingsError, SharedStoreUnavailableError
from hoverfast_platform.model.registry import find_model, weights_digest
from hoverfast_platform.resources.artefact_folder import ArtefactFolder
from hoverfast_platform.resources.environment import Environment
from hoverfast_platform.resources.heartbeat import Heartbeat
from hoverfast_platform.storage.object_store import ObjectStore
from hoverfast_platform.storage.shared_artefacts import SharedArtefacts
from hoverfast_platform.synthetic import write_synthetic_slide
from hoverfast_platform.use_cases.learn import (
    judge_student,
    make_teacher_labels,
    read_judgement,
    resolve_cohort,
    train_student,
)
from tests.conftest import REPOSITORY
from tests.dagster.parts import nuclei, slide, stain, tissue_mask
from tests.dagster.test_label_sets import PLAN, write_side
from tests.dagster.ticked_platform import Platform


class Machine:
    """A machine of its own: its folder holds nothing that another made."""

    def __init__(self, root, shared, catalogue):
        self.root = root
        location = build_definitions(root, shared=shared, catalogue=str(catalogue))
        self.resources = dict(location.resources)
        self.store = self.resources["store"]
        self.compute = self.resources["compute"]

    def make(self, asset, key, instance):
        return dg.materialize(
            [asset],
            partition_key=key,
            instance=instance,
            resources=self.resources,
            raise_on_error=False,
        )

    def shared(self):
        return SharedArtefacts.at(self.root, self.store.shared)


@pytest.fixture
def slide_path(tmp_path):
    """A slide on a read-only share, which all machines see under one path."""
    path = tmp_path / "slides" / "s.tiff"
    path.parent.mkdir()
    write_synthetic_slide(path, width_px=320, height_px=256, seed=3)
    return path


@pytest.fixture
def machines(tmp_path):
    """Two machines, whose store is a folder and whose catalogue is elsewhere."""
    (tmp_path / "share").mkdir()
    url = (tmp_path / "share").as_uri()
    return tuple(Machine(tmp_path / name, url, tmp_path / "c.sqlite") for name in ("a", "b"))


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


@pytest.mark.timeout(900)
@pytest.mark.parametrize("catalogue_location", ["postgresql"], indirect=True)
def test_one_machine_masks_and_another_segments(
    tmp_path, s3_url, catalogue_location, slide_path, instance
):
    a, b = (Machine(tmp_path / name, s3_url, catalogue_location) for name in ("a", "b"))
    key = a.store.register(slide_path)
    instance.add_dynamic_partitions("slides", [key])
    for asset in (slide, stain, tissue_mask):
        assert a.make(asset, key, instance).success
    assert not (b.root / "masks").exists()
    done = b.make(nuclei, key, instance)
    assert done.success
    again = a.make(nuclei, key, instance)
    assert again.success

    mask = f"masks/{key}.png"
    assert (b.root / mask).read_bytes() == (a.root / mask).read_bytes()
    (event,) = done.asset_materializations_for_node("nuclei")
    (repeated,) = again.asset_materializations_for_node("nuclei")
    assert event.metadata["published"].value == f"nuclei/{key} in {s3_url}"
    # The result of the other machine was found complete: nothing was computed again.
    assert repeated.metadata["seconds"] == event.metadata["seconds"]
    made, fetched = (
        {path.name: path.read_bytes() for path in (m.root / "nuclei" / key).glob("[!.]*")}
        for m in (b, a)
    )
    assert made == fetched
    assert len(made) >= 4
    assert not list(a.root.rglob("catalogue.sqlite"))


def test_a_mask_made_anew_elsewhere_is_the_one_that_is_used(
    machines, tmp_path, slide_path, instance
):
    a, b = machines
    key = a.store.register(slide_path)
    instance.add_dynamic_partitions("slides", [key])
    assert a.make(tissue_mask, key, instance).success
    first = b.store.slide(key).mask_path.read_bytes()
    (a.root / "masks.json").write_text('{"builtin": {"artefacts": {"pen": "off"}}}')
    other = build_definitions(a.root, shared=a.store.shared, catalogue=a.store.catalogue)
    done = dg.materialize(
        [other.get_assets_def("tissue_mask")],
        partition_key=key,
        instance=instance,
        resources=a.resources,
    )
    assert done.success

    second = b.store.slide(key).mask_path.read_bytes()

    assert first != second == (a.root / "masks" / f"{key}.png").read_bytes()


def test_what_cannot_be_published_is_not_reported_and_is_published_by_the_next_try(
    machines, tmp_path, slide_path, instance, monkeypatch
):
    a, b = machines
    key = a.store.register(slide_path)
    instance.add_dynamic_partitions("slides", [key])

    def away(*_):
        raise SharedStoreUnavailableError("the store is away")

    monkeypatch.setattr("hoverfast_platform.use_cases.outcome.time.sleep", lambda _: None)
    with monkeypatch.context() as patched:
        patched.setattr(ObjectStore, "write", away)
        assert not a.make(tissue_mask, key, instance).success
    assert (a.root / "masks" / f"{key}.png").is_file()
    assert instance.get_materialized_partitions(dg.AssetKey("tissue_mask")) == set()
    assert not b.store.slide(key).mask_path.exists()
    with a.store.open_catalogue() as catalogue:
        (failure,) = catalogue.results.failures()
    assert failure.kind == "shared_store_unavailable"

    done = a.make(tissue_mask, key, instance)

    assert done.success
    (event,) = done.asset_materializations_for_node("tissue_mask")
    assert event.metadata["was_done"].value is True
    assert b.store.slide(key).mask_path.is_file()


def test_a_promoted_model_of_another_machine_is_found_by_its_digest(machines, tmp_path):
    a, b = machines
    here = a.root / "students" / "skin-v1"
    here.mkdir(parents=True)
    shipped = find_model("cross-organ")
    for path in (shipped, shipped.with_suffix(".json")):
        (here / f"student{path.suffix}").write_bytes(path.read_bytes())
    weights = here / "student.safetensors"
    digest = weights_digest(weights)
    with a.store.open_catalogue() as catalogue:
        catalogue.models.register(ModelRecord(digest, "student", "1", str(weights), {}))
        catalogue.models.promote(digest, replaces=None, reason="try", is_released=True)
    assert a.compute.model_in_use(a.store).path == weights
    a.shared().publish_model(weights, digest)
    for path in here.iterdir():
        path.unlink()

    found = b.compute.model_in_use(b.store)

    assert found.path == b.root / "models" / digest / "student.safetensors"
    assert weights_digest(found.path) == found.sha256 == digest
    assert found.path.with_suffix(".json").is_file()
    a.shared().remove(f"models/{digest}")
    (b.root / "models").rename(tmp_path / "gone")
    with pytest.raises(CheckpointError, match="hoverfast artefacts publish-model"):
        b.compute.model_in_use(b.store)


def test_labels_that_one_machine_made_another_learns_from(machines, tmp_path):
    a, b = machines
    (tmp_path / "slides").mkdir()
    for i in range(2):
        path = tmp_path / "slides" / f"s{i}.tiff"
        write_synthetic_slide(path, width_px=512, height_px=384, seed=i)
        a.store.register(path)
    plan = {"slides_like": "*.tiff", "teacher": "classical", "sampling": {
        "tile_px": 128, "tiles_per_slide": 2, "validation_fraction": 0.5}}  # fmt: skip
    (a.root / "cohorts").mkdir(parents=True)
    (a.root / "cohorts" / "skin.json").write_text(json.dumps(plan))
    a.shared().publish(a.root / "cohorts" / "skin.json")

    assert b.store.learning().plan_names() == ["skin"]
    with a.store.open_catalogue() as catalogue:
        found = resolve_cohort(b.store.learning(), catalogue, "skin")
        made = make_teacher_labels(b.store.learning(), catalogue, found)
    (name,) = [m.name for m in a.shared().manifests("teacher_labels")]

    assert name == f"teacher_labels/skin/v{found.version}"
    labels = a.store.learning().labels(found)
    assert (labels / made.training.path.name).read_bytes() == made.training.path.read_bytes()


def test_what_people_publish_is_told_by_the_sensors_of_another_machine(
    machines, tmp_path, instance
):
    a, b = machines
    for side, seed in (("train", 1), ("test", 2)):
        write_side(a.root / "label_sets" / f"tiles_{side}.pytable", seed)
    context = dg.build_sensor_context(instance=instance)
    assert "0 label sets" in label_sets_made(context, b.store).skip_message
    for path in a.shared().published_by(["label_sets"]):
        a.shared().publish(path)

    told = label_sets_made(context, b.store)

    assert [event.partition for event in told.asset_events] == ["tiles"]
    assert "0 files" in corrections_made(context, b.store).skip_message


def test_a_catalogue_in_the_working_folder_is_refused(tmp_path):
    store = ArtefactFolder(root=str(tmp_path), shared="s3://lab/x")
    with pytest.raises(SettingsError, match="Set the catalogue to a PostgreSQL URL"):
        store.open_catalogue()
    own = ArtefactFolder(root="here", shared="s3://lab/x", catalogue="here/catalogue.sqlite")
    with pytest.raises(SettingsError, match="a file of this machine alone"):
        own.open_catalogue()


@pytest.mark.parametrize("url", ["s3://lab/x", "file:///mnt/share", "gs://lab"])
def test_any_url_of_fsspec_may_be_given_and_nothing_else(url):
    assert Environment(shared=url).shared == url
    with pytest.raises(ValidationError, match="shared"):
        Environment(shared="lab/x")


def test_runs_of_other_machines_are_not_taken_for_lost(tmp_path, instance):
    (tmp_path / "share").mkdir()
    platform = Platform(tmp_path / "artefacts", instance)
    store = ArtefactFolder(root=str(platform.root), shared=(tmp_path / "share").as_uri())
    here, elsewhere = (platform.run({}) for _ in range(2))
    Heartbeat(str(platform.root), here).stop()
    context = dg.build_sensor_context(instance=instance)

    told = lost_runs(context, store, lost_after_s=0).skip_message

    assert here in told
    assert elsewhere not in told
    assert instance.get_run_by_id(elsewhere).status == dg.DagsterRunStatus.STARTED


def test_without_a_shared_store_nothing_of_it_is_imported_or_asked(tmp_path):
    code = f"""
import sys
from pathlib import Path
from hoverfast_platform.assets.definitions import build_definitions
store = build_definitions(Path({str(tmp_path)!r})).resources["store"]
slide = store.slide("s-1")
print(slide.mask_path, slide.nuclei_dir, store.publish(slide.mask_path))
print(store.learning().plan_names(), store.learning().corrections)
store.open_catalogue().close()
print(sorted({{"s3fs", "aiobotocore", "botocore", "fsspec"}} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [
        f"{tmp_path}/masks/s-1.png {tmp_path}/nuclei/s-1 {{}}",
        f"[] {tmp_path}/corrections",
        "[]",
    ]


def test_a_learning_folder_without_a_store_leaves_files_alone(tmp_path):
    folder = LearningFolder(tmp_path)
    (tmp_path / "masks").mkdir()
    folder.mask("s").write_bytes(b"mask")
    folder.publish(folder.mask("s"))

    assert folder.mask("s").read_bytes() == b"mask"
    assert folder.student(CohortRecord("x", 1, "d", ())) == tmp_path / "students" / "x-v1"
    assert [path.name for path in tmp_path.rglob("*")] == ["masks", "s.png"]


@pytest.mark.timeout(900)
def test_a_student_that_one_machine_trained_is_judged_by_another_and_used_by_a_third(
    machines, tmp_path
):
    a, b = machines
    c = Machine(tmp_path / "c", a.store.shared, a.store.catalogue)
    for side, seed in (("train", 1), ("test", 2)):
        write_side(a.root / "label_sets" / f"tiles_{side}.pytable", seed)
    (a.root / "cohorts").mkdir()
    (a.root / "cohorts" / "tiles.json").write_text(json.dumps(PLAN | {"label_sets": ["tiles"]}))
    for path in a.shared().published_by(["label_sets", "cohorts"]):
        a.shared().publish(path)

    with a.store.open_catalogue() as catalogue:
        found = resolve_cohort(a.store.learning(), catalogue, "tiles")
        student = train_student(a.store.learning(), catalogue, found)
        judged = judge_student(b.store.learning(), catalogue, found, device="cpu")
        judgement = read_judgement(c.store.learning(), found)
        assert judgement == judged.judgement
        catalogue.models.promote(judgement.sha256, replaces=None, reason="try", is_released=True)
    (a.root / "students").rename(tmp_path / "gone")

    used = c.compute.model_in_use(c.store)

    assert used.sha256 == judgement.sha256
    assert used.path.read_bytes() == (tmp_path / "gone/tiles-v1/student.safetensors").read_bytes()
    published = {manifest.name for manifest in c.shared().manifests()}
    assert {"students/tiles-v1", "evaluations/tiles-v1", f"models/{used.sha256}"} <= published
    assert student.model_path.is_relative_to(a.root)
