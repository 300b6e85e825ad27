"""What the batch norms of a network see of some squares of a slide, computed by OpenVINO.

The network as it is in training: every layer is fed by features that were normalised with the
squares' own statistics (see ``model.adapting``). Equal to torch's by test.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hoverfast_platform.arrays import RgbImage
from hoverfast_platform.inference.backends.compiled_graph import CompiledGraph
from hoverfast_platform.inference.backends.network_graph import Layers, scaled_pixels
from hoverfast_platform.model.adapting import statistics_precision
from hoverfast_platform.model.architecture import Architecture
from hoverfast_platform.model.weights import EPSILON, BatchStatistics, Weights

_PLANE = np.array([0, 2, 3])


class SampleStatistics:
    """Takes statistics of squares; compiled once per slide, and once for images of one shape.

    Args:
        architecture: Of the network.
        weights: Its own statistics decide nothing.
        n_threads: To compute on.
    """

    def __init__(self, architecture: Architecture, weights: Weights, n_threads: int) -> None:
        self._made_from = architecture, weights
        self._n_threads = n_threads
        self._compiled: CompiledGraph | None = None
        self._norms: list[str] = []

    def of(self, squares: RgbImage) -> dict[str, BatchStatistics]:
        """Statistics of every batch norm, by its name.

        Args:
            squares: ``(N, H, W, 3)``, sides fitting the network.

        Raises:
            RuntimeError: If OpenVINO fails.
        """
        if self._compiled is None:
            graph, self._norms = _statistics_graph(*self._made_from)
            self._compiled = CompiledGraph(graph, statistics_precision("cpu"), self._n_threads)
        found = [values.reshape(-1) for values in self._compiled.run([squares])]
        if len(squares) > 1:  # of a slide, which takes long: its regions need the memory
            self._compiled.release()
        return {
            norm: BatchStatistics(mean, variance)
            for norm, mean, variance in zip(self._norms, found[::2], found[1::2], strict=True)
        }


def _statistics_graph(architecture: Architecture, weights: Weights) -> tuple[Any, list[str]]:
    """The graph, whose outputs are mean and variance of each norm, and the norms' names."""
    import openvino as ov
    from openvino import opset13 as ops

    pixels = ops.parameter([-1, -1, -1, 3], np.uint8, name="pixels")
    layers = _WatchedLayers(architecture, weights)
    layers.network(scaled_pixels(pixels))
    outputs = [ops.result(value) for values in layers.seen.values() for value in values]
    return ov.Model(outputs, [pixels], "statistics"), list(layers.seen)


class _WatchedLayers(Layers):
    """Batch norms normalise by what they see, which is kept in ``seen``: mean and variance."""

    def __init__(self, architecture: Architecture, weights: Weights) -> None:
        super().__init__(architecture, weights)
        self.seen: dict[str, tuple[Any, Any]] = {}

    def normalised(self, name: str, first: int, x: Any) -> Any:
        """Convolution, the batch norm after it and ReLU; as in training."""
        weights, ops, norm = self.weights, self.ops, f"{name}.{first + 1}"
        # Sums of squares are of values near zero, so that their rounding does not matter.
        about = weights[f"{norm}.running_mean"]
        x = self.convolution(f"{name}.{first}", x, weights[f"{name}.{first}.weight"])
        x = ops.add(x, self.per_channel(weights[f"{name}.{first}.bias"] - about))
        mean = ops.reduce_mean(x, _PLANE, keep_dims=True)
        square = ops.reduce_mean(ops.multiply(x, x), _PLANE, keep_dims=True)
        variance = ops.subtract(square, ops.multiply(mean, mean))
        n = ops.convert(ops.reduce_prod(ops.gather(ops.shape_of(x), _PLANE, 0), 0), "f32")
        unbiased = ops.multiply(variance, ops.divide(n, ops.subtract(n, np.float32(1))))
        self.seen[norm] = ops.add(mean, self.per_channel(about)), unbiased
        deviation = ops.sqrt(ops.add(variance, np.float32(EPSILON)))
        slope = ops.divide(self.per_channel(weights[f"{norm}.weight"]), deviation)
        shift = ops.subtract(self.per_channel(weights[f"{norm}.bias"]), ops.multiply(mean, slope))
        return ops.relu(ops.add(ops.multiply(x, slope), shift))
