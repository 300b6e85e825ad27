"""Statistics of a slide's squares by OpenVINO, against torch's."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from hoverfast_platform.config import Compute
from hoverfast_platform.inference.backends.openvino_predictor import (
    OpenVinoPredictor,
    openvino_graph,
)
from hoverfast_platform.inference.backends.sample_statistics import SampleStatistics
from hoverfast_platform.inference.backends.torch_predictor import TorchPredictor
from hoverfast_platform.model import adapting
from hoverfast_platform.model.architecture import Architecture
from hoverfast_platform.model.card import ModelCard
from hoverfast_platform.model.checkpoint import LoadedModel, load_model, weights_of
from hoverfast_platform.model.network import HoverFast
from hoverfast_platform.model.slide_statistics import adapted_to
from hoverfast_platform.model.weights import (
    norms_of,
    weight_shapes,
    with_statistics_mixed_in,
)

LEAN = Architecture(kernel_sizes=(3,), pixel_block=2, shares_decoder=True, first_filters=8)
FAMILY = [Architecture(depth=2, first_filters=4), LEAN, Architecture(depth=4, first_filters=4)]


@pytest.fixture
def in_single_precision(monkeypatch):
    monkeypatch.setattr(adapting, "has_bfloat16", lambda: False)


def squares(n, height=64, width=96, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (height, width, 3), dtype=np.uint8) for _ in range(n)]


def model_of(architecture):
    torch.manual_seed(1)
    network = HoverFast(architecture).eval()
    for module in network.modules():  # statistics as after training: far from 0 and 1
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-1, 1)
            module.running_var.uniform_(0.5, 3)
    card = ModelCard(name="m", version="1", architecture=architecture)
    return LoadedModel(weights_of(network), card, "d" * 64, None)


@pytest.mark.parametrize("architecture", FAMILY)
def test_weights_have_the_shapes_that_the_network_has(architecture):
    state = HoverFast(architecture).state_dict()

    assert weight_shapes(architecture) == {n: tuple(t.shape) for n, t in state.items()}


@pytest.mark.usefixtures("in_single_precision")
@pytest.mark.parametrize("architecture", FAMILY)
@pytest.mark.parametrize("n", [1, 3])
def test_statistics_are_those_that_torch_takes(architecture, n):
    model, samples = model_of(architecture), squares(n)

    found = SampleStatistics(architecture, model.weights, 1).of(np.stack(samples))

    wanted = weights_of(adapted_to(model.network, samples, 0.4))
    mixed = with_statistics_mixed_in(model.weights, found, 0.4)
    assert set(found) == set(norms_of(model.weights))
    for norm in found:
        for name in (f"{norm}.running_mean", f"{norm}.running_var"):
            assert mixed[name].dtype == np.float32
            assert mixed[name] == pytest.approx(wanted[name], rel=1e-3, abs=1e-4), name
            assert mixed[name] != pytest.approx(model.weights[name], rel=1e-3, abs=1e-4), name


@pytest.mark.usefixtures("in_single_precision")
def test_an_adapted_predictor_computes_what_torchs_does_and_the_first_stays_as_it_was():
    model = load_model("cross-organ")
    samples = [image // 2 for image in squares(2, 96, 128)]
    region = squares(1, 128, 160, seed=5)[0][None]
    plain = OpenVinoPredictor(openvino_graph(model), model, "fp32")
    before = plain.predict(region)

    adapted = plain.adapted_to(samples, 0.4)

    found = adapted.predict(region).astype(np.float32)
    wanted = TorchPredictor(model, Compute(), ("cpu",)).adapted_to(samples, 0.4).predict(region)
    assert np.abs(found - wanted).max() < 4e-3
    assert np.abs(found - before).max() > 0.1
    assert np.array_equal(plain.predict(region), before)


def test_bfloat16_moves_a_mean_by_less_than_three_hundredths_of_a_deviation(monkeypatch):
    model, pixels = load_model("cross-organ"), np.stack(squares(2, 96, 128))

    def taken(in_half):
        monkeypatch.setattr(adapting, "has_bfloat16", lambda: in_half)
        return SampleStatistics(model.card.architecture, model.weights, 1).of(pixels)

    exact, in_half = taken(in_half=False), taken(in_half=True)

    for norm, one in exact.items():
        moved = np.abs(in_half[norm].mean - one.mean) / np.sqrt(one.variance + 1e-5)
        assert moved.max() < 0.03, norm


@pytest.mark.parametrize(
    ("samples", "share"), [([], 0.5), (squares(2), 0.0), (squares(1, 40), 0.5)]
)
def test_without_anything_to_adapt_to_it_is_the_same_predictor(samples, share):
    model = load_model("cross-organ")
    predictor = OpenVinoPredictor(openvino_graph(model), model, "fp32")

    assert predictor.adapted_to(samples, share) is predictor


def test_a_graph_of_another_model_is_refused():
    from hoverfast_platform.errors import CheckpointError

    model, other = load_model("cross-organ"), model_of(FAMILY[0])

    with pytest.raises(CheckpointError, match="folded batch norms"):
        OpenVinoPredictor(openvino_graph(model), replace(other, path=model.path), "fp32")
