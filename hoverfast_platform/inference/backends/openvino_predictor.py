"""Prediction by OpenVINO on the CPU, where it is faster than torch."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hoverfast_platform.arrays import PredictedMaps, RgbImage
from hoverfast_platform.cores import available_cores
from hoverfast_platform.errors import ComputeError
from hoverfast_platform.inference.backends.compiled_graph import CompiledGraph
from hoverfast_platform.inference.backends.graph_border_steepness import with_border_steepness
from hoverfast_platform.inference.backends.graph_statistics import adjustable
from hoverfast_platform.inference.backends.network_graph import network_graph
from hoverfast_platform.inference.backends.predictor import Regions
from hoverfast_platform.inference.backends.sample_statistics import SampleStatistics
from hoverfast_platform.model.adapting import squares_to_adapt_to
from hoverfast_platform.model.checkpoint import LoadedModel
from hoverfast_platform.model.weights import with_statistics_mixed_in


class OpenVinoPredictor:
    """OpenVINO on the CPU, compiled once per region shape, whatever it is adapted to.

    Args:
        graph: From :func:`openvino_graph`, or an int8 form. It ends with the network's maps; what
            workers decode is added here.
        model: From which it was made.
        precision: ``fp32``; ``bf16`` computes convolutions in it; ``int8`` as the graph says.
        batch_size: Regions handed over together.
        digest: Digest of an int8 graph.
        n_threads: To compute on; 0 takes the available cores.

    Raises:
        CheckpointError: If the graph is not of the model's form.
    """

    backend = "openvino"
    device = "cpu"
    n_concurrent = 1  # one call fills the cores

    def __init__(
        self,
        graph: Any,
        model: LoadedModel,
        precision: str,
        *,
        batch_size: int = 0,
        digest: str = "",
        n_threads: int = 0,
    ) -> None:
        n_threads = n_threads or available_cores()
        self.precision = precision
        self.arithmetic = f"openvino {precision} {digest}".strip()
        self._made_from = self._weights = model.weights
        self._architecture = model.card.architecture
        self._adjustable = adjustable(with_border_steepness(graph))
        self._inputs = self._adjustable.statistics(model.weights, model.weights)
        self._compiled = CompiledGraph(self._adjustable.graph, precision, n_threads)
        self._samples = SampleStatistics(self._architecture, model.weights, n_threads)
        self._batch_size = batch_size

    def adapted_to(self, samples: Sequence[RgbImage], share: float) -> OpenVinoPredictor:
        """See :class:`Predictor`; what is compiled is shared with the predictor returned."""
        squares = squares_to_adapt_to(samples, self._architecture.multiple_px)
        if share == 0 or squares is None:
            return self
        try:
            taken = self._samples.of(squares)
        except RuntimeError as error:
            raise ComputeError(
                f"OpenVINO failed on {len(squares)} squares of {squares.shape[1]}x"
                f"{squares.shape[2]} px, to which the model was to be adapted: {error}",
                "Usually memory: end other programs, or give the process more.",
            ) from error
        adapted = copy.copy(self)
        adapted._weights = with_statistics_mixed_in(self._weights, taken, share)
        adapted._inputs = self._adjustable.statistics(self._made_from, adapted._weights)
        return adapted

    def predict(self, regions: Regions) -> PredictedMaps:
        """See :class:`Predictor`. One region at a time: a CPU gains nothing from batches."""
        try:
            maps = [
                self._compiled.run([regions[i : i + 1], *self._inputs])[0]
                for i in range(len(regions))
            ]
        except RuntimeError as error:
            raise ComputeError(
                f"OpenVINO failed on a region of {regions.shape[1]}x{regions.shape[2]} px: {error}",
                "Usually memory: use a smaller --tile-size.",
            ) from error
        return np.concatenate(maps)

    def batch_size(self, region_shape: tuple[int, int]) -> int:
        """1 unless set."""
        return self._batch_size or 1


def stored_graph(path: Path) -> Any:
    """A graph from its ``.xml`` and the ``.bin`` beside it.

    Not mapped, as OpenVINO does: where a mapped file cannot be read, the process is ended.
    """
    import openvino as ov

    return ov.Core().read_model(path.read_bytes(), path.with_suffix(".bin").read_bytes())


def openvino_graph(model: LoadedModel) -> Any:
    """A model's maps from pixels as an OpenVINO graph in fp32, for regions of any size."""
    return network_graph(model.card.architecture, model.weights)
