"""Other batch-norm statistics in an OpenVINO graph, in floating point or int8.

Every batch norm is folded into the convolution before it. With ``k = weight / sqrt(variance +
eps)`` the graph holds ``y = k (W x + c - mean) + bias``, and in int8 a small correction besides.
Other statistics turn ``k`` into ``r k``: what the convolution gives is multiplied by ``r``, and
what is added to it changes by what follows from it. Both are inputs of the graph, so that another
slide or image needs neither quantising nor compiling anew; predicting takes as long as with
constants in their place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hoverfast_platform.errors import CheckpointError
from hoverfast_platform.model.weights import EPSILON, Weights, norms_of

_FOLDED = re.compile(r"network\.(?P<norm>[\w.]+)/aten::batch_norm")
"""The name of the addition that a batch norm became: here and in graphs that were converted."""


@dataclass(frozen=True)
class AdjustableGraph:
    """A graph with the statistics of its batch norms as inputs.

    Attributes:
        graph: Its inputs are those of the graph it was made from, then for each norm what its
            convolution is multiplied by, and what is added; ``(1, C, 1, 1)`` each.
        added: By the names of the norms, in that order: what the graph added before, ``(C,)``.
    """

    graph: Any
    added: dict[str, npt.NDArray[np.float32]]

    def statistics(self, made_from: Weights, adapted: Weights) -> list[npt.NDArray[np.float32]]:
        """The further inputs with which the graph computes what other weights would.

        Args:
            made_from: Weights of the graph.
            adapted: The same with other running means and variances.

        Raises:
            CheckpointError: If the graph is not of that network's form.
        """
        if set(self.added) != set(norms_of(made_from)):
            raise CheckpointError(
                f"The graph has {len(self.added)} folded batch norms, its network "
                f"{len(norms_of(made_from))}.",
                "Another version of OpenVINO made it: make the int8 form again with "
                "`hoverfast models quantise`.",
            )
        found = []
        for norm, added in self.added.items():
            ratio, shift = _change(norm, made_from, adapted)
            bias = made_from[f"{norm}.bias"]
            for values in (ratio, bias + ratio * (added - bias) + shift):
                found.append(values.reshape(1, -1, 1, 1).astype(np.float32))
        return found


def adjustable(graph: Any) -> AdjustableGraph:
    """A copy of a graph that takes the statistics of its batch norms as inputs."""
    from openvino import opset13 as ops

    graph = graph.clone()
    added, inputs = {}, []
    for node in graph.get_ordered_ops():
        match = _FOLDED.search(node.get_friendly_name())
        if node.get_type_name() != "Add" or match is None:
            continue
        values = node.input_value(1).get_node().get_data().reshape(-1)
        ratio, shift = (ops.parameter([1, values.size, 1, 1], np.float32) for _ in range(2))
        scaled = ops.multiply(node.input_value(0), ratio.output(0))
        node.input(0).replace_source_output(scaled.output(0))
        node.input(1).replace_source_output(shift.output(0))
        added[match["norm"]] = values
        inputs += [ratio, shift]
    graph.add_parameters(inputs)
    graph.validate_nodes_and_infer_types()
    return AdjustableGraph(graph, added)


def with_statistics(graph: Any, made_from: Weights, adapted: Weights) -> Any:
    """A copy of a graph that computes what ``adapted`` computes, its statistics held fixed.

    Args:
        graph: Made from ``made_from``; not changed.
        made_from: Its weights.
        adapted: The same with other running means and variances.

    Raises:
        CheckpointError: If the graph is not of that network's form.
    """
    from openvino import opset13 as ops

    changed = adjustable(graph)
    values = changed.statistics(made_from, adapted)
    parameters = changed.graph.get_parameters()[-len(values) :]
    for parameter, value in zip(parameters, values, strict=True):
        for reader in parameter.output(0).get_target_inputs():
            reader.replace_source_output(ops.constant(value).output(0))
        changed.graph.remove_parameter(parameter)
    changed.graph.validate_nodes_and_infer_types()
    return changed.graph


def _change(
    norm: str, old: Weights, new: Weights
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return what a layer's slope is multiplied by, and what is then added, per channel."""
    mean, variance = f"{norm}.running_mean", f"{norm}.running_var"
    slope = new[f"{norm}.weight"] / np.sqrt(new[variance] + EPSILON)
    ratio = np.sqrt((old[variance] + EPSILON) / (new[variance] + EPSILON))
    return ratio, slope * (old[mean] - new[mean])
