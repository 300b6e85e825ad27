"""Adapting to a stain: statistics are those of the images, and nothing else changes."""

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from hoverfast_platform.cli.main import hoverfast
from hoverfast_platform.config import Appearance
from hoverfast_platform.errors import SettingsError
from hoverfast_platform.model.checkpoint import load_model
from hoverfast_platform.model.network import HoverFast
from hoverfast_platform.model.registry import DEFAULT_MODEL
from hoverfast_platform.storage.patch_table import LabelProvenance, Patch, PatchTable
from hoverfast_platform.storage.patch_table_writer import PatchTableWriter
from hoverfast_platform.training.statistics import retake_statistics


def _table(path, mpp=0.25):
    rng = np.random.default_rng(0)
    with PatchTableWriter(
        path, mpp=mpp, patch_px=64, provenance=LabelProvenance(teacher="people")
    ) as writer:
        for name in ("a", "b"):
            image = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
            writer.append(Patch(image, np.zeros((48, 64), np.int32), name, name))
    return PatchTable(path)


def test_statistics_are_those_of_the_patches(tmp_path):
    table = _table(tmp_path / "t.pytable")
    torch.manual_seed(0)
    network = HoverFast()

    retake_statistics(network, [table], 64, Appearance())

    first = network.down_path[0].conv_3.block
    with torch.no_grad():
        seen = [
            first[0](torch.from_numpy(table.read(i).image).permute(2, 0, 1)[None] / 255.0)
            for i in range(2)
        ]
    mean = torch.stack([x.mean(dim=(0, 2, 3)) for x in seen]).mean(dim=0)
    assert torch.allclose(first[1].running_mean, mean, atol=1e-5)
    assert first[1].momentum == 0.1
    assert not network.training


def test_no_patches_leave_the_statistics():
    network = HoverFast()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}

    retake_statistics(network, [], 0, Appearance())

    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def _adapt(*arguments):
    return CliRunner().invoke(
        hoverfast, ["models", "adapt", *arguments], standalone_mode=False, catch_exceptions=False
    )


def test_adapting_changes_statistics_and_no_weight(tmp_path):
    _table(tmp_path / "site.pytable")

    _adapt(DEFAULT_MODEL, str(tmp_path / "site.pytable"), "-o", str(tmp_path / "mine.safetensors"))

    before, after = load_model(DEFAULT_MODEL), load_model(tmp_path / "mine.safetensors")
    assert after.card.name == "mine"
    assert after.card.parent_digest == before.digest
    assert after.card.labels == before.card.labels
    assert after.card.metrics == ()
    theirs = after.network.state_dict()
    for name, tensor in before.network.state_dict().items():
        if "running_" in name:
            assert not torch.equal(theirs[name], tensor)
        elif "num_batches" not in name:
            assert torch.equal(theirs[name], tensor)


def test_a_set_of_another_scale_is_refused(tmp_path):
    _table(tmp_path / "site.pytable", mpp=0.5)

    with pytest.raises(SettingsError, match=r"0\.5 um/px"):
        _adapt(DEFAULT_MODEL, str(tmp_path / "site.pytable"), "-o", str(tmp_path / "m.safetensors"))
