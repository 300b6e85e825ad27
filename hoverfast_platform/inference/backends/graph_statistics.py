"""Other batch-norm statistics in an OpenVINO graph, in floating point or int8.

Conversion folds every batch norm into the convolution before it. With ``k = weight /
sqrt(variance + eps)`` the graph holds ``y = k (W x + c - mean) + bias``, and in int8 a small
correction besides. Other statistics turn ``k`` into ``r k``: the convolution's weights (in int8
their scales) are multiplied by ``r``, and what is added changes by what follows from it. That
takes milliseconds, where quantising anew takes a minute.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from hoverfast_platform.errors import CheckpointError
from hoverfast_platform.model.batch_norms import norms_of
from hoverfast_platform.model.network import HoverFast

_FOLDED = re.compile(r"network\.(?P<module>[\w.]+)/aten::batch_norm")
"""The name of the addition that a batch norm became: here and in graphs that were converted."""


def with_statistics(graph: Any, made_from: HoverFast, adapted: HoverFast) -> Any:
    """A copy of a graph that computes what ``adapted`` computes.

    Args:
        graph: Made from ``made_from``; not changed.
        made_from: Its network.
        adapted: The same weights with other running means and variances.

    Raises:
        CheckpointError: If the graph is not of that network's form.
    """
    from openvino import opset13 as ops

    graph = graph.clone()
    old, new = (norms_of(network) for network in (made_from, adapted))
    folded = {
        match["module"]: node
        for node in graph.get_ops()
        if node.get_type_name() == "Add" and (match := _FOLDED.search(node.get_friendly_name()))
    }
    if folded.keys() != old.keys():
        raise CheckpointError(
            f"The graph has {len(folded)} folded batch norms, its network {len(old)}.",
            "Another version of OpenVINO made it: make the int8 form again with "
            "`hoverfast models quantise`.",
        )
    for module, addition in folded.items():
        ratio, shift = _change(old[module], new[module])
        convolution = addition.input_value(0).get_node()
        _scale(convolution, ratio.reshape(-1, 1, 1, 1), ops)
        constant = addition.input_value(1).get_node()
        bias = old[module].bias.detach().numpy()
        added = constant.get_data().reshape(-1)
        added = bias + ratio * (added - bias) + shift
        shape = constant.get_output_shape(0)
        replacement = ops.constant(added.reshape(shape).astype(np.float32))
        addition.input(1).replace_source_output(replacement.output(0))
    graph.validate_nodes_and_infer_types()
    return graph


def _change(
    old: nn.BatchNorm2d, new: nn.BatchNorm2d
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return what a layer's slope is multiplied by, and what is then added, per channel."""
    with torch.no_grad():
        slope = new.weight * torch.rsqrt(_of(new.running_var) + new.eps)
        ratio = torch.sqrt((_of(old.running_var) + old.eps) / (_of(new.running_var) + new.eps))
        shift = slope * (_of(old.running_mean) - _of(new.running_mean))
    return ratio.numpy(), shift.numpy()


def _of(statistic: torch.Tensor | None) -> torch.Tensor:
    assert statistic is not None  # every batch norm of the network tracks its statistics
    return statistic


def _scale(convolution: Any, ratio: npt.NDArray[np.float32], ops: Any) -> None:
    """Multiply a convolution's weights, which are a constant or int8 values times a constant."""
    owner, port = convolution, 1
    weights = owner.input_value(port).get_node()
    if weights.get_type_name() == "Multiply":
        owner = weights
        weights = owner.input_value(port).get_node()
    if weights.get_type_name() != "Constant":
        raise CheckpointError(
            f"Weights of a convolution are a {weights.get_type_name()}, expected a constant.",
            "Make the int8 form again with `hoverfast models quantise`.",
        )
    scaled = ops.constant((weights.get_data() * ratio).astype(np.float32))
    owner.input(port).replace_source_output(scaled.output(0))
