"""The graph built by hand computes what the network does, for every member of the family."""

import numpy as np
import pytest
import torch

from hoverfast_platform.inference.backends.network_graph import network_graph
from hoverfast_platform.model.architecture import Architecture
from hoverfast_platform.model.batch_norms import norms_of
from hoverfast_platform.model.network import HoverFast, MapsFromPixels


@pytest.mark.parametrize(
    "architecture",
    [
        Architecture(),
        Architecture(depth=4, first_filters=4, kernel_sizes=(3, 5, 7)),
        Architecture(
            depth=2, first_filters=4, kernel_sizes=(3,), pixel_block=2, shares_decoder=True
        ),
    ],
    ids=["published", "deep", "lean"],
)
def test_the_graph_computes_what_the_network_does(architecture):
    import openvino as ov

    torch.manual_seed(0)
    network = HoverFast(architecture).eval()
    for norm in norms_of(network).values():
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
        norm.weight.data.uniform_(0.5, 1.5)
        norm.bias.data.normal_()
    pixels = np.random.default_rng(0).integers(0, 256, (1, 64, 96, 3), dtype=np.uint8)
    with torch.inference_mode():
        expected = MapsFromPixels(network)(torch.from_numpy(pixels)).numpy()

    weights = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    graph = network_graph(architecture, weights)
    compiled = ov.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    found = compiled(pixels)[0]
    assert found.shape == (1, 3, 64, 96)
    assert np.abs(found - expected).max() < 1e-5
    assert np.ptp(expected) > 0.3
