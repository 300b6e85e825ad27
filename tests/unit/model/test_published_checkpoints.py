"""Checkpoints as the published trainer and torch's wrappers write them."""

import numpy as np
import pytest
import torch

from hoverfast_platform.errors import CheckpointError
from hoverfast_platform.model.architecture import Architecture
from hoverfast_platform.model.checkpoint import load_model
from hoverfast_platform.model.network import HoverFast

WEIGHTS = HoverFast(Architecture(depth=2, first_filters=4)).state_dict()


def saved(path, weights=WEIGHTS, **more):
    torch.save({"model_dict": weights, "depth": 2, "wf": 2, **more}, path)
    return path


@pytest.mark.parametrize("value", [np.float64(0.12), np.float32(2), np.int64(3), np.bool_(True)])
def test_a_numpy_scalar_beside_the_weights_is_harmless(tmp_path, value):
    assert load_model(saved(tmp_path / "m.pth", best_loss_on_test=value)).card.name == "m"


def test_numbers_of_numpy_say_the_size_too(tmp_path):
    loaded = load_model(saved(tmp_path / "m.pth", depth=np.int64(2), wf=np.int64(2)))

    assert loaded.card.architecture == Architecture(depth=2, first_filters=4)


@pytest.mark.parametrize("before", ["module.", "_orig_mod.", "_orig_mod.module."])
def test_names_of_wrappers_are_taken_off(tmp_path, before):
    path = saved(tmp_path / "m.pth", {before + name: value for name, value in WEIGHTS.items()})

    loaded = load_model(path).network.state_dict()

    assert all(torch.equal(loaded[name], WEIGHTS[name]) for name in WEIGHTS)


class Evil:
    def __reduce__(self):
        return (print, ("run",))


@pytest.mark.parametrize(
    "make",
    [
        lambda path: saved(path, extra=Evil()),
        lambda path: path.write_text("<!DOCTYPE html>"),
        lambda path: path.write_bytes(b""),
        lambda path: saved(path, dict(list(WEIGHTS.items())[:5])),
        lambda path: saved(path, {"x" * 90 + str(i): torch.zeros(2) for i in range(500)}),
        lambda path: saved(path, 3),
        lambda path: saved(path, wf=40),
        lambda path: saved(path, wf=-1),
        lambda path: saved(path, depth=0),
        lambda path: saved(path, depth="3\x1b"),
        lambda path: saved(path, dict.fromkeys(WEIGHTS, "text")),
    ],
)
def test_others_are_refused_in_three_lines(tmp_path, capsys, make):
    make(tmp_path / "m.pth")

    with pytest.raises(CheckpointError) as caught:
        load_model(tmp_path / "m.pth")

    assert len(str(caught.value)) < 600 + len(str(tmp_path))
    assert "\x1b" not in str(caught.value)
    assert capsys.readouterr().out == ""
