"""Prediction by OpenVINO on the CPU, where it is faster than torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hoverfast_platform.arrays import PredictedMaps, RgbImage
from hoverfast_platform.cores import available_cores
from hoverfast_platform.errors import ComputeError
from hoverfast_platform.inference.backends.graph_border_steepness import with_border_steepness
from hoverfast_platform.inference.backends.graph_statistics import with_statistics
from hoverfast_platform.inference.backends.network_graph import network_graph
from hoverfast_platform.inference.backends.predictor import Regions
from hoverfast_platform.model.checkpoint import LoadedModel
from hoverfast_platform.model.network import HoverFast
from hoverfast_platform.model.slide_statistics import adapted_to
from hoverfast_platform.signal_stack import use_ordinary_stack_for_signals


class OpenVinoPredictor:
    """OpenVINO on the CPU, compiled once per region shape.

    Args:
        graph: From :func:`openvino_graph`, or an int8 form. It ends with the network's maps; what
            workers decode is added here.
        network: From which it was made.
        precision: ``fp32``; ``bf16`` computes convolutions in it; ``int8`` as the graph says.
        batch_size: Regions handed over together.
        digest: Digest of an int8 graph.
        n_threads: To compute on; 0 takes the available cores.
    """

    backend = "openvino"
    device = "cpu"
    n_concurrent = 1  # one call fills the cores

    def __init__(
        self,
        graph: Any,
        network: HoverFast,
        precision: str,
        *,
        batch_size: int = 0,
        digest: str = "",
        n_threads: int = 0,
    ) -> None:
        import openvino as ov

        self.precision = precision
        self.arithmetic = f"openvino {precision} {digest}".strip()
        self._core = ov.Core()
        self._maps, self._network = graph, network
        self._decodable = with_border_steepness(graph)
        self._digest = digest
        self._compiled: dict[tuple[int, int], Any] = {}
        self._batch_size = batch_size
        self._n_threads = n_threads or available_cores()

    def adapted_to(self, samples: Sequence[RgbImage], share: float) -> OpenVinoPredictor:
        """See :class:`Predictor`; compiled anew, which takes half a second."""
        network = adapted_to(self._network, samples, share)
        return OpenVinoPredictor(
            with_statistics(self._maps, self._network, network),
            network,
            self.precision,
            batch_size=self._batch_size,
            digest=self._digest,
            n_threads=self._n_threads,
        )

    def predict(self, regions: Regions) -> PredictedMaps:
        """See :class:`Predictor`. One region at a time: a CPU gains nothing from batches."""
        infer = self._for_shape(regions.shape[1:3])
        try:
            maps = [infer(regions[i : i + 1])[0] for i in range(len(regions))]
        except RuntimeError as error:
            raise ComputeError(
                f"OpenVINO failed on a region of {regions.shape[1]}x{regions.shape[2]} px: {error}",
                "Usually memory: use a smaller --tile-size.",
            ) from error
        return np.concatenate(maps)

    def _for_shape(self, shape: tuple[int, int]) -> Any:
        if shape not in self._compiled:
            self._compiled.clear()  # a slide has one shape; an old one only holds memory
            self._decodable.reshape([1, *shape, 3])
            self._compiled[shape] = self._core.compile_model(
                self._decodable,
                "CPU",
                {
                    "INFERENCE_NUM_THREADS": self._n_threads,
                    # Pinned threads all wait for the one whose core others keep busy.
                    "ENABLE_CPU_PINNING": False,
                    # What int8 leaves in floating point is cheap, and then as exact as fp32.
                    "INFERENCE_PRECISION_HINT": "bf16" if self.precision == "bf16" else "f32",
                },
            )
            use_ordinary_stack_for_signals()
        return self._compiled[shape]

    def batch_size(self, region_shape: tuple[int, int]) -> int:
        """1 unless set."""
        return self._batch_size or 1


def openvino_graph(model: LoadedModel) -> Any:
    """A model's maps from pixels as an OpenVINO graph in fp32, for regions of any size."""
    network = model.network
    weights = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    return network_graph(network.architecture, weights)
