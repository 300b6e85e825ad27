"""A network takes over part of what a slide's own features look like."""

import numpy as np
import pytest
import torch

from hoverfast_platform.model import adapting
from hoverfast_platform.model.adapting import MAX_SQUARES
from hoverfast_platform.model.architecture import Architecture
from hoverfast_platform.model.network import HoverFast
from hoverfast_platform.model.slide_statistics import adapted_to


@pytest.fixture(autouse=True)
def _in_single_precision(monkeypatch):
    monkeypatch.setattr(adapting, "has_bfloat16", lambda: False)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return HoverFast(Architecture(depth=2, first_filters=4)).eval()


def squares(n=3, height=96, width=96, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (height, width, 3), dtype=np.uint8) for _ in range(n)]


def statistics(network):
    return {name: value for name, value in network.state_dict().items() if "running" in name}


def test_the_whole_share_gives_the_samples_own_statistics(network):
    samples = squares()
    pixels = torch.from_numpy(np.stack(samples)).permute(0, 3, 1, 2).float() / 255
    convolution = network.down_path[0].conv_3.block[0]
    with torch.no_grad():
        features = convolution(pixels)

    found = statistics(adapted_to(network, samples, 1.0))

    mean, variance = (found[f"down_path.0.conv_3.block.1.running_{s}"] for s in ("mean", "var"))
    assert mean == pytest.approx(features.mean((0, 2, 3)), abs=1e-5)
    assert variance == pytest.approx(features.var((0, 2, 3)), rel=1e-4)


def test_a_share_is_mixed_in(network):
    samples = squares()
    own, none = (statistics(n) for n in (adapted_to(network, samples, 1.0), network))

    mixed = statistics(adapted_to(network, samples, 0.25))

    for name, value in mixed.items():
        assert torch.allclose(value, 0.25 * own[name] + 0.75 * none[name], atol=1e-5)


def test_the_network_itself_stays_as_it_was(network):
    before = {name: value.clone() for name, value in network.state_dict().items()}

    adapted = adapted_to(network, squares(), 0.5)

    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert not network.training
    assert not adapted.training


@pytest.mark.parametrize(
    ("samples", "share"), [([], 0.5), (squares(), 0.0), (squares(height=40), 0.5)]
)
def test_nothing_to_adapt_to(network, samples, share):
    adapted = statistics(adapted_to(network, samples, share))

    assert all(torch.equal(adapted[name], value) for name, value in statistics(network).items())


def test_samples_at_the_border_may_be_a_little_smaller(network):
    samples = [*squares(2), *squares(1, height=93, width=96)]
    cut = [sample[:92] for sample in samples]

    a, b = (statistics(adapted_to(network, given, 0.5)) for given in (samples, cut))

    assert all(torch.equal(a[name], b[name]) for name in a)


def test_of_many_samples_some_are_looked_at(network):
    many = squares(3 * MAX_SQUARES - 2, 64, 64)  # the first, every third, the last

    a, b = (statistics(adapted_to(network, given, 0.5)) for given in (many, many[::3]))

    assert all(torch.equal(a[name], b[name]) for name in a)


def test_half_precision_gives_nearly_the_same(network, monkeypatch):
    single = statistics(adapted_to(network, squares(), 0.5))
    monkeypatch.setattr(adapting, "has_bfloat16", lambda: True)

    half = statistics(adapted_to(network, squares(), 0.5))

    for name, value in half.items():
        assert value.dtype == torch.float32
        assert torch.allclose(value, single[name], rtol=0.03, atol=0.003)
