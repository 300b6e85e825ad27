"""What a student's card says of the labels it learned from, itself and through other models."""

from pathlib import Path

import numpy as np
import pytest

from hoverfast_platform.model.card import LabelSource, ModelCard
from hoverfast_platform.model.checkpoint import LoadedModel, weights_of
from hoverfast_platform.model.network import HoverFast
from hoverfast_platform.storage.patch_table import LabelProvenance, Patch, PatchTable
from hoverfast_platform.storage.patch_table_writer import PatchTableWriter
from hoverfast_platform.training.data import Guides, TrainingData
from hoverfast_platform.training.settings import TrainingSettings
from hoverfast_platform.training.student_card import student_card
from hoverfast_platform.use_cases.record import model_record

TNBC = LabelSource(name="TNBC", licence="CC-BY-4.0", n_images=39, n_nuclei=3464)
SBU = LabelSource(name="SBU", licence="BSD-3-Clause")
PANNUKE = LabelSource(name="PanNuke", licence="CC-BY-NC-SA-4.0")


def table(path, **provenance):
    """Three nuclei on two images; what it says of its labels counts other images, too."""
    own = LabelSource(name="ours", licence="CC0-1.0", n_images=326)
    made = LabelProvenance(teacher="people", labels=(own,), **provenance)
    with PatchTableWriter(path, mpp=0.25, patch_px=32, provenance=made) as writer:
        for i, n in enumerate((1, 2)):
            labels = np.zeros((32, 32), np.int32)
            labels[4:8, 4:8] = 1
            labels[20:24, 4:8] = 2 if n == 2 else 0
            image = np.full((32, 32, 3), 200, np.uint8)
            writer.append(Patch(image, labels, f"{path.stem}{i}", f"{path.stem}{i}"))
    return PatchTable(path)


def model(name, **card):
    card = ModelCard(name=name, version="1", **card)
    return LoadedModel(
        weights_of(HoverFast(card.architecture)), card, name[0] * 64, Path(f"/m/{name}")
    )


@pytest.fixture
def card_of(tmp_path):
    def make(guides=Guides(), **provenance):
        data = TrainingData((table(tmp_path / "a.h5", **provenance),), table(tmp_path / "b.h5"))
        return student_card("child", data, TrainingSettings(), guides)

    return make


def test_child_inherits_the_labels_and_licences_of_its_parent(card_of):
    parent = model("parent", labels=(TNBC,), inherited=(SBU,))

    card = card_of(Guides(parent=parent))

    assert [(label.name, label.licence) for label in card.labels] == [("ours", "CC0-1.0")]
    assert card.inherited == (TNBC, SBU)
    assert card.licence == "CC0-1.0, CC-BY-4.0, BSD-3-Clause"


def test_card_counts_the_images_and_nuclei_that_were_learned_from(card_of):
    (label,) = card_of().labels

    assert (label.n_images, label.n_nuclei) == (2, 3)


def test_labels_pass_through_teachers_and_labels_that_models_made(card_of):
    teacher = model("teacher", labels=(TNBC,), inherited=())

    card = card_of(Guides(teacher=teacher), inherited=(PANNUKE,), teacher_models=("p" * 64,))

    assert card.inherited == (TNBC, PANNUKE)
    assert card.teacher_digests == ("p" * 64, "t" * 64)
    child = LoadedModel(weights_of(HoverFast(card.architecture)), card, "c" * 64, Path("/m/child"))
    record = model_record(child)
    assert [(use.name, use.is_inherited) for use in record.labels] == [
        ("ours", False), ("TNBC", True), ("PanNuke", True)
    ]  # fmt: skip
    assert record.teachers == ("p" * 64, "t" * 64)


def test_parent_of_unknown_labels_bequeaths_an_unknown_licence(card_of):
    assert card_of(Guides(parent=model("published"))).inherited == (
        LabelSource(name="what published 1 learned from", licence="unknown"),
    )
    older = model("older", labels=(TNBC,), parent_digest="f" * 64)
    assert [label.licence for label in card_of(Guides(parent=older)).inherited] == [
        "CC-BY-4.0", "unknown"
    ]  # fmt: skip
