"""An OpenVINO graph, compiled for the shape of its pixels, and run so that signals are heard."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hoverfast_platform.interruption import raise_if_interrupted
from hoverfast_platform.signal_stack import use_ordinary_stack_for_signals

_ASK_FOR_SIGNALS_MS = 100


class CompiledGraph:
    """A graph whose first input are pixels, compiled anew when their shape changes.

    Args:
        graph: Its first input is ``(N, H, W, 3)`` of any size.
        precision: ``bf16`` computes convolutions in it; else floating point is single precision.
        n_threads: To compute on.
    """

    def __init__(self, graph: Any, precision: str, n_threads: int) -> None:
        import openvino as ov

        self._core = ov.Core()
        self._graph = graph
        self._settings = {
            "INFERENCE_NUM_THREADS": n_threads,
            # Pinned threads all wait for the one whose core others keep busy.
            "ENABLE_CPU_PINNING": False,
            # What int8 leaves in floating point is cheap, and then as exact as fp32.
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
        }
        self._turn = threading.Lock()
        self._shape: tuple[int, ...] = ()
        self._request: Any = None

    def run(self, inputs: Sequence[npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        """Copies of all outputs. Calls from several threads take turns.

        Args:
            inputs: Pixels first, the others in the order of the graph.

        Raises:
            RuntimeError: If OpenVINO fails.
            Interrupted: If a signal came; what was begun is given up.
        """
        with self._turn:
            request = self._for_shape(inputs[0].shape)
            request.start_async(list(inputs))
            try:
                while not request.wait_for(_ASK_FOR_SIGNALS_MS):
                    raise_if_interrupted()
            except BaseException:
                self._shape, self._request = (), None  # it may still be busy
                request.cancel()
                raise
            return [np.array(tensor.data) for tensor in request.output_tensors]

    def release(self) -> None:
        """Give back the memory of what was compiled; the next run compiles anew."""
        with self._turn:
            self._shape, self._request = (), None

    def _for_shape(self, shape: tuple[int, ...]) -> Any:
        """A slide has one shape of regions; an older one would only hold memory."""
        if shape != self._shape:
            self._request = None
            self._graph.reshape({self._graph.inputs[0]: list(shape)})
            self._request = self._core.compile_model(
                self._graph, "CPU", self._settings
            ).create_infer_request()
            self._shape = shape
            use_ordinary_stack_for_signals()
        return self._request
