import shutil

import pytest
import torch
from click.testing import CliRunner

from hoverfast_platform.cli.main import hoverfast
from hoverfast_platform.errors import SettingsError
from hoverfast_platform.model.average import average_models
from hoverfast_platform.model.card import LabelSource, ModelCard
from hoverfast_platform.model.checkpoint import load_model, save_model
from hoverfast_platform.model.network import HoverFast

TNBC = LabelSource(name="tnbc", licence="CC-BY-4.0")
PUMA = LabelSource(name="puma", licence="CC0-1.0")


def _model(folder, name, seed, **card):
    torch.manual_seed(seed)
    path = folder / f"{name}.safetensors"
    save_model(path, HoverFast(), ModelCard(name=name, version="1", **card))
    return load_model(path)


@pytest.fixture
def pair(tmp_path):
    return [
        _model(tmp_path, "a", 1, labels=(TNBC,), licence="CC-BY-4.0"),
        _model(tmp_path, "b", 2, labels=(TNBC, PUMA), licence="CC-BY-4.0"),
    ]


def test_weights_are_the_mean_and_the_card_names_all(pair):
    network, card = average_models(pair, "mean")

    states = [model.network.state_dict() for model in pair]
    for key, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            assert torch.allclose(tensor, (states[0][key] + states[1][key]) / 2)
    assert card.labels == (TNBC, PUMA)
    assert card.licence == "CC-BY-4.0"
    assert card.parent_digest.split() == [model.digest for model in pair]


def test_the_mean_of_a_model_with_itself_is_the_model(tmp_path, pair):
    shutil.copy(pair[0].path.with_suffix(".json"), tmp_path / "c.json")
    shutil.copy(pair[0].path, tmp_path / "c.safetensors")
    out = tmp_path / "mean.safetensors"

    CliRunner().invoke(
        hoverfast, ["models", "average", str(pair[0].path), str(tmp_path / "c.safetensors"),
                    "-o", str(out)],
        standalone_mode=False, catch_exceptions=False,
    )  # fmt: skip

    mean = load_model(out)
    assert mean.card.name == "mean"
    for key, tensor in pair[0].network.state_dict().items():
        assert torch.equal(mean.network.state_dict()[key], tensor)


def test_one_model_or_another_scale_is_refused(tmp_path, pair):
    other = _model(tmp_path, "c", 3, mpp=0.5)
    for models in (pair[:1], [pair[0], other]):
        with pytest.raises(SettingsError, match="Two or more models of one mpp"):
            average_models(models, "x")
