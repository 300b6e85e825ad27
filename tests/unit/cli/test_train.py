"""``hoverfast train`` from files to a student."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from hoverfast_platform.cli.main import hoverfast
from hoverfast_platform.errors import SettingsError, StorageError
from hoverfast_platform.model.checkpoint import load_model
from hoverfast_platform.storage.patch_table import LabelProvenance, Patch
from hoverfast_platform.storage.patch_table_writer import PatchTableWriter

SMALL = ["-b", "2", "-n", "0", "--crop-px", "32", "--device", "cpu"]


@pytest.fixture
def dataset(tmp_path):
    people = LabelProvenance(teacher="people", cohort="breast 1")
    for part, seed in (("train", 1), ("test", 2)):
        rng = np.random.default_rng(seed)
        label = np.zeros((64, 128), dtype=np.int32)
        for i in range(4):
            label[3 + 15 * i : 12 + 15 * i, 20:30] = i + 1
        image = rng.integers(0, 256, (64, 128, 3), dtype=np.uint8)
        path = tmp_path / f"breast_{part}.pytable"
        with PatchTableWriter(path, mpp=0.25, patch_px=128, provenance=people) as writer:
            writer.append(Patch(image, label, part, part))
    return tmp_path


def _train(dataset, *options):
    arguments = ["train", "breast", "-p", str(dataset), "-o", str(dataset / "out"), *SMALL]
    return CliRunner().invoke(
        hoverfast, [*arguments, *options], standalone_mode=False, catch_exceptions=False
    )


def test_trains_and_goes_on(dataset):
    done = _train(dataset, "--steps", "2", "--seed", "7", "--parent", "cross-organ")

    student = load_model(dataset / "out" / "breast" / "student.safetensors")
    assert student.card.cohort == "breast 1"
    assert student.card.teacher == "people"
    assert student.card.parent_digest == load_model("cross-organ").digest
    assert json.loads(student.card.training["settings"])["seed"] == 7
    assert "Student of step 2 of 2" in done.output


def test_epochs_are_passes_over_the_area(dataset):
    # 128x64 px are 8 crops of 32x32: 4 steps of 2
    done = _train(dataset, "-e", "1.5")

    assert "of 6:" in done.output


def test_settings_file_gives_way_to_options(dataset):
    file = dataset / "settings.json"
    file.write_text('{"n_steps": 50, "warmup_steps": 0}')

    done = _train(dataset, "--settings", str(file), "--steps", "1")

    assert "Student of step 1 of 1" in done.output


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["-d", "9"], SettingsError),
        (["--steps", "1", "-e", "1"], SettingsError),
        (["-p", "/nowhere"], StorageError),
    ],
)
def test_what_cannot_work_is_said(dataset, options, error):
    with pytest.raises(error):
        _train(dataset, *options)


def test_a_wrong_settings_file_is_named_with_its_field(dataset):
    file = dataset / "settings.json"
    file.write_text('{"n_stepz": 50}')

    with pytest.raises(SettingsError, match="n_stepz"):
        _train(dataset, "--settings", str(file))


def test_a_network_of_another_shape_is_trained_when_asked_for(dataset):
    _train(dataset, "-d", "2", "-w", "2", "--steps", "1")

    card = load_model(dataset / "out" / "breast" / "student.safetensors").card
    assert (card.architecture.depth, card.architecture.first_filters) == (2, 4)


def test_learns_from_several_sets(dataset):
    (dataset / "more_train.pytable").write_bytes((dataset / "breast_train.pytable").read_bytes())

    done = _train(dataset, "--also", "more", "-e", "1.5")

    student = load_model(dataset / "out" / "breast" / "student.safetensors")
    assert len(str(student.card.training_set_digest).split()) == 2
    assert "2 patches with 8 nuclei to learn from" in done.output
    assert "of 12:" in done.output  # twice the area of one set, where 6 steps are 1.5 passes
