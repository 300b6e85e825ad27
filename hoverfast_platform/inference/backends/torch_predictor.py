"""Prediction by torch, on GPUs above all, written so that no device waits for the CPU.

A device has two lanes, each with pinned buffers and a stream of its own, and the engine calls
``predict`` from as many threads: while one lane's maps come back and its next pixels go over,
the other lane computes. Several devices are more lanes. On a CPU and on MPS a lane has no
stream; buffers, order and the lending of lanes are the same, which is what the tests run.

The regions of a batch go through the network one after another. A convolution of several images
is another algorithm than one of a single image: on an H100 a fifth of the maps' half-precision
values change with the number of regions (docs/performance.md), and so would the nuclei. It costs
6 % there, an eighth of the memory is needed, and the device sees one shape only.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from hoverfast_platform.arrays import PredictedMaps, RgbImage
from hoverfast_platform.config import Compute
from hoverfast_platform.cores import available_cores
from hoverfast_platform.errors import ComputeError
from hoverfast_platform.inference.backends.predictor import Regions
from hoverfast_platform.model.batch_norms import fold_batch_norms
from hoverfast_platform.model.border_steepness import BorderSteepness
from hoverfast_platform.model.checkpoint import LoadedModel, weights_of
from hoverfast_platform.model.network import MapsFromPixels
from hoverfast_platform.model.slide_statistics import adapted_to

_LOG = logging.getLogger(__name__)

_LANES_PER_GPU = 2
_FILLING_PIXELS = 12 * 2**20
"""Pixels in a batch. An H100 needs a tenth of a second for it, in which the host prepares the next;
a larger batch leaves the device idle until so many regions are read."""

_Maps = TypeVar("_Maps", bound=npt.NDArray[np.floating])


class TorchPredictor:
    """Torch on one device or several; half precision on CUDA unless told otherwise.

    Args:
        model: Copied to every device.
        compute: Precision, batch size, whether to compile.
        devices: Resolved names.
    """

    backend = "torch"

    def __init__(self, model: LoadedModel, compute: Compute, devices: tuple[str, ...]) -> None:
        self.device = ",".join(devices)
        self._model, self._compute = model, compute
        self._devices = devices
        default = "fp16" if devices[0].startswith("cuda") else "fp32"
        self.precision: str = default if compute.precision == "auto" else compute.precision
        dtype = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}[
            self.precision
        ]
        self.arithmetic = f"torch {self.precision}{' compiled' if compute.compile else ''}"
        self._batch_size = compute.batch_size
        lanes = [
            Lane(graph, device)
            for device in devices
            for graph in [graph_on(device, model, dtype, is_compiled=compute.compile)]
            for _ in range(_LANES_PER_GPU if device.startswith("cuda") else 1)
        ]
        self.n_concurrent = len(lanes)
        self._free: queue.SimpleQueue[Lane] = queue.SimpleQueue()
        self._turn = threading.Lock()  # two that gather all lanes would wait for each other
        # Devices take turns: with fewer batches than lanes every device gets some.
        for lane in sorted(lanes, key=lambda lane: lanes.index(lane) % _LANES_PER_GPU):
            self._free.put(lane)
        if "cpu" in devices:
            torch.set_num_threads(available_cores())

    def adapted_to(self, samples: Sequence[RgbImage], share: float) -> TorchPredictor:
        """See ``Predictor``. A compiled graph is compiled anew, from torch's cache where it can."""
        network = adapted_to(self._model.network, samples, share, self._devices[0])
        return TorchPredictor(
            replace(self._model, weights=weights_of(network)), self._compute, self._devices
        )

    def predict(self, regions: Regions) -> PredictedMaps:
        """See ``Predictor``; safe in several threads. Lanes take turns when memory runs out."""
        lane = self._free.get()
        try:
            return lane.predict(regions)
        except torch.OutOfMemoryError:
            _LOG.warning("The device is out of memory; this batch waits for the others.")
        finally:
            self._free.put(lane)
        return self._predict_alone(regions)

    def _predict_alone(self, regions: Regions) -> PredictedMaps:
        """Once no other lane computes and torch keeps no memory it does not use."""
        with self._turn:
            lanes = [self._free.get() for _ in range(self.n_concurrent)]
            try:
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()
                return lanes[0].predict(regions)
            except torch.OutOfMemoryError as error:
                raise does_not_fit(regions) from error
            finally:
                for lane in lanes:
                    self._free.put(lane)

    def batch_size(self, region_shape: tuple[int, int]) -> int:
        """The size that was set; else what keeps a GPU busy while the host prepares more, or 1."""
        if self._batch_size:
            return self._batch_size
        return filling_batch(region_shape) if self._devices[0].startswith("cuda") else 1


def graph_on(device: str, model: LoadedModel, dtype: torch.dtype, *, is_compiled: bool) -> Any:
    """The graph on a device, its weights laid out as the convolutions of the GPU read them.

    Pixels come as ``(N, H, W, 3)``; seen as ``(N, 3, H, W)`` they are channels-last already.
    """
    network = copy.deepcopy(model.network).eval()
    fold_batch_norms(network)
    maps = MapsFromPixels(network).to(dtype)
    graph = nn.Sequential(maps, BorderSteepness()).eval().to(device)
    # The stubs do not know this keyword.
    graph = graph.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return torch.compile(graph, dynamic=False) if is_compiled else graph


class Lane:
    """A graph on a device, with buffers and a stream that one batch at a time uses."""

    def __init__(self, graph: Callable[[torch.Tensor], torch.Tensor], device: str) -> None:
        self._graph = graph
        self._device = device
        is_cuda = device.startswith("cuda")
        self._is_pinned = is_cuda
        self._stream: Any = None
        if is_cuda:
            self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self.pixels = torch.empty(0, dtype=torch.uint8)
        self.maps = torch.empty(0, dtype=torch.float16)

    def predict(self, regions: Regions) -> PredictedMaps:
        """``(N, H, W, 3)`` to ``(N, 2, H, W)``; the caller owns what comes back.

        A region's maps do not depend on those it comes with: the graph sees it alone.
        """
        n, height, width, _ = regions.shape
        if len(self.pixels) < n or self.pixels.shape[1:] != regions.shape[1:]:
            self.pixels = torch.empty(regions.shape, dtype=torch.uint8, pin_memory=self._is_pinned)
            self.maps = torch.empty(
                (n, 2, height, width), dtype=torch.float16, pin_memory=self._is_pinned
            )
        pixels, maps = self.pixels[:n], self.maps[:n]
        pixels.numpy()[:] = regions
        with torch.inference_mode(), self._on_stream():
            on_device = pixels.to(self._device, non_blocking=True)
            for i in range(n):
                predicted = self._graph(on_device[i : i + 1]).to(torch.float16).contiguous()
                maps[i : i + 1].copy_(predicted, non_blocking=True)
        if self._stream is not None:
            self._stream.synchronize()
        mine: PredictedMaps = maps.numpy().copy()
        return mine

    def _on_stream(self) -> Any:
        return contextlib.nullcontext() if self._stream is None else torch.cuda.stream(self._stream)


def filling_batch(region_shape: tuple[int, int]) -> int:
    """Regions handed to a GPU together, 1 to 64."""
    return min(64, -(-_FILLING_PIXELS // (region_shape[0] * region_shape[1])))


def predict_halving(predict: Callable[[Regions], _Maps], regions: Regions) -> _Maps:
    """Predict, splitting the batch in two whenever the device runs out of memory.

    For networks that see a whole batch at once, such as a teacher's.

    Raises:
        ComputeError: If a single region does not fit.
    """
    try:
        return predict(regions)
    except torch.OutOfMemoryError as error:
        if len(regions) == 1:
            raise does_not_fit(regions) from error
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    half = len(regions) // 2
    _LOG.warning("Out of memory with %d regions; trying %d.", len(regions), half)
    halves = [predict_halving(predict, regions[:half]), predict_halving(predict, regions[half:])]
    return np.concatenate(halves)  # type: ignore[return-value]


def does_not_fit(regions: Regions) -> ComputeError:
    """What to tell when a single region is too much for a device."""
    return ComputeError(
        f"One region of {regions.shape[1]}x{regions.shape[2]} px does not fit the device's memory.",
        "Use a smaller --tile-size, or stop what else runs on the device.",
    )
