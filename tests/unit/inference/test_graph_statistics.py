"""Statistics changed in a graph, against building it of the changed network."""

from dataclasses import replace

import numpy as np
import pytest

from hoverfast_platform.config import Compute
from hoverfast_platform.errors import CheckpointError
from hoverfast_platform.inference.backends.compiled_graph import CompiledGraph
from hoverfast_platform.inference.backends.graph_statistics import adjustable, with_statistics
from hoverfast_platform.inference.backends.openvino_predictor import (
    OpenVinoPredictor,
    openvino_graph,
)
from hoverfast_platform.inference.backends.torch_predictor import TorchPredictor
from hoverfast_platform.model.architecture import Architecture
from hoverfast_platform.model.checkpoint import load_model, weights_of
from hoverfast_platform.model.network import HoverFast
from hoverfast_platform.model.quantised import find_int8
from hoverfast_platform.model.slide_statistics import adapted_to


def tissue(seed, height=96, width=160):
    """Purple discs on pink, ``(1, H, W, 3)``."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    image = rng.normal((215, 160, 200), 5, (height, width, 3))
    for cy, cx in rng.integers(15, (height - 15, width - 15), (8, 2)):
        image[(y - cy) ** 2 + (x - cx) ** 2 < 110] = (110, 70, 150)
    return image.clip(0, 255).astype(np.uint8)[None]


@pytest.fixture(scope="module")
def model():
    return load_model("cross-organ")


@pytest.fixture(scope="module")
def adapted(model):
    """The model as torch adapts it."""
    darker = [(image[0] * 0.8).astype(np.uint8) for image in (tissue(1), tissue(2))]
    return replace(model, weights=weights_of(adapted_to(model.network, darker, 0.4)))


def maps(graph, model, image, precision="fp32"):
    return OpenVinoPredictor(graph, model, precision).predict(image)[0].astype(np.float32)


def test_a_changed_graph_computes_what_the_changed_network_does(model, adapted):
    image = tissue(3)
    graph = openvino_graph(model)
    before = maps(graph.clone(), model, image)
    plain = TorchPredictor(adapted, Compute(), ("cpu",)).predict(image)[0]

    changed = maps(with_statistics(graph, model.weights, adapted.weights), adapted, image)

    assert np.abs(changed - plain).max() < 4e-3
    assert np.abs(changed - before).max() > 0.1
    assert np.array_equal(maps(graph, model, image), before)  # the graph given is as it was


def test_an_int8_graph_changes_likewise(model, adapted):
    from openvino import Core

    image = tissue(3)
    int8 = Core().read_model(find_int8(model.path, model.digest).graph_path)
    wanted = maps(openvino_graph(model), model, image)
    wanted_adapted = TorchPredictor(adapted, Compute(), ("cpu",))
    wanted_adapted = wanted_adapted.predict(image)[0].astype(np.float32)

    found = maps(int8.clone(), model, image, "int8")
    there = with_statistics(int8, model.weights, adapted.weights)
    found_adapted = maps(there.clone(), adapted, image, "int8")
    back = maps(with_statistics(there, adapted.weights, model.weights), model, image, "int8")

    rounding = np.abs(found - wanted)[0].mean()
    assert np.abs(found_adapted - wanted_adapted)[0].mean() < 2 * rounding + 0.005
    assert np.abs(found_adapted - found)[0].mean() > 2 * rounding
    assert np.abs(back - found)[0].mean() < 0.5 * rounding  # values next to a step may take it


def test_a_graph_of_another_network_is_refused(model):
    smaller = weights_of(HoverFast(Architecture(depth=2, first_filters=4)))

    with pytest.raises(CheckpointError, match="folded batch norms"):
        with_statistics(openvino_graph(model), smaller, smaller)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_statistics_as_inputs_compute_what_constants_do(model, adapted, precision):
    from openvino import Core

    image = tissue(3)
    graph = openvino_graph(model)
    if precision == "int8":
        graph = Core().read_model(find_int8(model.path, model.digest).graph_path)
    inputs = adjustable(graph)
    compiled = CompiledGraph(inputs.graph, precision, 1)

    found = compiled.run([image, *inputs.statistics(model.weights, adapted.weights)])[0]

    fixed = with_statistics(graph, model.weights, adapted.weights)
    wanted = CompiledGraph(fixed, precision, 1).run([image])[0]
    assert found.shape == (1, 3, 96, 160)
    assert np.abs(found - wanted).max() < (1e-5 if precision == "fp32" else 0.02)
