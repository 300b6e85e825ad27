"""The dense part of decoding on a device against its plain form."""

import numpy as np
import pytest
import torch

from hoverfast_platform.hv.decode import border_steepness
from hoverfast_platform.inference.backends.graph_border_steepness import with_border_steepness
from hoverfast_platform.model.border_steepness import BorderSteepness


def random_maps(shape, seed=0):
    """Foreground and HV maps with slopes of every kind, and a step from 1 to -1 in each."""
    rng = np.random.default_rng(seed)
    maps = rng.uniform(-1, 1, (1, 3, *shape)).astype(np.float32)
    maps[0, 1, :, : shape[1] // 2], maps[0, 1, :, shape[1] // 2 :] = 1, -1
    maps[0, 2, : shape[0] // 2], maps[0, 2, shape[0] // 2 :] = 1, -1
    return maps


def in_torch(maps):
    return BorderSteepness()(torch.from_numpy(maps)).numpy()


def in_openvino(maps):
    import openvino as ov
    from openvino import opset13 as ops

    given = ops.parameter([1, 3, -1, -1], np.float32)
    graph = with_border_steepness(ov.Model([ops.result(given)], [given]))
    compiled = ov.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return compiled(maps)[0]


@pytest.mark.parametrize(("compute", "tolerance"), [(in_torch, 1e-5), (in_openvino, 5e-4)])
@pytest.mark.parametrize("shape", [(4, 4), (36, 64), (128, 100)])
def test_borders_are_as_steep_as_in_the_plain_form(compute, tolerance, shape):
    """Up to the edges of the region, with the sums taken in another order; the graph rounds to
    half precision, whose step near 1 is 5e-4."""
    maps = random_maps(shape)

    found = compute(maps)

    assert found.shape == (1, 2, *shape)
    wanted = border_steepness(maps[0, 1], maps[0, 2])
    np.testing.assert_allclose(found[:, 0], maps[:, 0], atol=tolerance)
    np.testing.assert_allclose(found[0, 1], wanted, atol=tolerance)
    assert found[0, 1].max() > 0.5


def test_slopes_are_taken_in_single_precision():
    maps = torch.from_numpy(random_maps((16, 16))).to(torch.bfloat16)

    assert torch.equal(BorderSteepness()(maps), BorderSteepness()(maps.float()))
