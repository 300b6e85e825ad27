"""A compiled graph: another shape, a signal while it computes, several threads."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from hoverfast_platform.errors import Interrupted
from hoverfast_platform.inference.backends import compiled_graph
from hoverfast_platform.inference.backends.compiled_graph import CompiledGraph
from hoverfast_platform.inference.backends.network_graph import network_graph
from hoverfast_platform.model.architecture import Architecture
from hoverfast_platform.model.checkpoint import weights_of
from hoverfast_platform.model.network import HoverFast


@pytest.fixture
def compiled():
    architecture = Architecture(depth=2, first_filters=4)
    graph = network_graph(architecture, weights_of(HoverFast(architecture).eval()))
    return CompiledGraph(graph, "fp32", 1)


def pixels(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (1, height, width, 3), dtype=np.uint8)


def test_every_shape_gets_its_own_maps(compiled):
    first, second = pixels(64, 96), pixels(96, 32)

    before = compiled.run([first])[0]

    assert before.shape == (1, 3, 64, 96)
    assert compiled.run([second])[0].shape == (1, 3, 96, 32)
    assert np.array_equal(compiled.run([first])[0], before)


def test_a_signal_ends_the_wait_and_the_next_run_is_right(compiled, monkeypatch):
    large, small = pixels(1024, 1280), pixels(64, 96)
    expected = compiled.run([small])[0]

    def interrupted():
        raise Interrupted("SIGINT ended the work.", "")

    with monkeypatch.context() as patched:
        patched.setattr(compiled_graph, "_ASK_FOR_SIGNALS_MS", 1)
        patched.setattr(compiled_graph, "raise_if_interrupted", interrupted)
        with pytest.raises(Interrupted):
            compiled.run([large])

    assert np.array_equal(compiled.run([small])[0], expected)


def test_threads_take_turns(compiled):
    images = [pixels(64, 96, seed) for seed in range(8)]
    expected = [compiled.run([image])[0] for image in images]

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda image: compiled.run([image])[0], images))

    for one, other in zip(found, expected, strict=True):
        assert np.array_equal(one, other)
