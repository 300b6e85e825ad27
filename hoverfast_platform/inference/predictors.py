"""Regions in, maps out, on a device: the two compute backends behind one interface.

``torch`` runs on CUDA (half precision), MPS and the CPU; ``openvino`` on the CPU, where it is
faster. Both run the same graph, :class:`hoverfast_platform.model.network.MapsFromPixels`.
Nothing here was measured on a GPU.
"""

from __future__ import annotations

import logging
import warnings
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from hoverfast_platform.arrays import PredictedMaps
from hoverfast_platform.config import Compute
from hoverfast_platform.cores import available_cores
from hoverfast_platform.errors import ComputeError, SettingsError
from hoverfast_platform.model.checkpoint import LoadedModel
from hoverfast_platform.model.network import MapsFromPixels

_LOG = logging.getLogger(__name__)

Regions = npt.NDArray[np.uint8]
"""``(N, H, W, 3)`` RGB."""

BYTES_PER_PIXEL = 700
"""Of activations at the widest place, half precision: 16 + 32 + 16 channels three times, with
their inputs. An upper bound from the layer table, not a measurement."""


class Predictor(Protocol):
    """Predicts maps for batches of regions."""

    backend: str
    device: str
    precision: str

    def predict(self, regions: Regions) -> PredictedMaps:
        """``(N, H, W, 3)`` to ``(N, 3, H, W)``.

        Raises:
            ComputeError: If the device fails or a single region does not fit its memory.
        """
        ...

    def batch_size(self, region_shape: tuple[int, int]) -> int:
        """Regions to predict together."""
        ...


def make_predictor(model: LoadedModel, compute: Compute) -> Predictor:
    """The fastest predictor for what the machine has and the settings allow.

    Raises:
        SettingsError: If the device does not exist or cannot do the precision.
    """
    device = resolve_device(compute.device)
    if device == "cpu":
        if compute.precision not in {"auto", "fp32"}:
            raise SettingsError(
                f"Precision {compute.precision} was asked for on a CPU, which computes in fp32.",
                "Leave --precision at auto, or choose a GPU.",
            )
        return OpenVinoPredictor(model, compute)
    return TorchPredictor(model, compute, device)


def resolve_device(name: str) -> str:
    """The device a setting stands for: ``cpu``, ``cuda:0``, ``mps``.

    Raises:
        SettingsError: If the machine does not have it.
    """
    if name == "auto":
        return "cuda:0" if torch.cuda.is_available() else "cpu"
    kind = name.split(":")[0]
    if kind == "cpu":
        return "cpu"
    if kind == "cuda" and torch.cuda.is_available():
        index = int(name.partition(":")[2] or 0)
        if index < torch.cuda.device_count():
            return f"cuda:{index}"
    if kind == "mps" and torch.backends.mps.is_available():
        return name
    raise SettingsError(
        f"Device {name!r} was asked for, but this machine has "
        f"{torch.cuda.device_count()} CUDA devices"
        f"{' and MPS' if torch.backends.mps.is_available() else ''}.",
        "Use auto or cpu, or check the driver and CUDA_VISIBLE_DEVICES.",
    )


class TorchPredictor:
    """Eager torch; half precision on CUDA unless told otherwise."""

    backend = "torch"

    def __init__(self, model: LoadedModel, compute: Compute, device: str) -> None:
        self.device = device
        default = "fp16" if device.startswith("cuda") else "fp32"
        self.precision: str = default if compute.precision == "auto" else compute.precision
        self._dtype = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}[
            self.precision
        ]
        self._batch_size = compute.batch_size
        graph = MapsFromPixels(model.network).eval()
        graph = graph.to(device=device, dtype=self._dtype)
        # The stubs do not know this keyword.
        self._graph = graph.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if device == "cpu":
            torch.set_num_threads(available_cores())

    def predict(self, regions: Regions) -> PredictedMaps:
        """See :class:`Predictor`. The batch is halved when memory runs out."""
        return predict_halving(self._predict_once, regions)

    def _predict_once(self, regions: Regions) -> PredictedMaps:
        pixels = torch.from_numpy(regions)
        if self.device.startswith("cuda"):
            pixels = pixels.pin_memory().to(self.device, non_blocking=True)
        else:
            pixels = pixels.to(self.device)
        with torch.inference_mode():
            maps = self._graph(pixels).to(torch.float16)
        predicted: PredictedMaps = maps.cpu().numpy()
        return predicted

    def batch_size(self, region_shape: tuple[int, int]) -> int:
        """From *free* memory, half of it left for others; 1 where it cannot be known."""
        if self._batch_size:
            return self._batch_size
        if not self.device.startswith("cuda"):
            return 1
        free_bytes, _total = torch.cuda.mem_get_info(self.device)
        return batch_for_memory(free_bytes, region_shape)


def batch_for_memory(free_bytes: int, region_shape: tuple[int, int]) -> int:
    """Regions whose activations fit half the free memory, 1 to 64."""
    per_region = region_shape[0] * region_shape[1] * BYTES_PER_PIXEL
    return int(min(64, max(1, free_bytes // 2 // per_region)))


def predict_halving(predict: Any, regions: Regions) -> PredictedMaps:
    """Predict, splitting the batch in two whenever the device runs out of memory.

    Raises:
        ComputeError: If a single region does not fit.
    """
    try:
        maps: PredictedMaps = predict(regions)
    except torch.OutOfMemoryError as error:
        if len(regions) == 1:
            raise ComputeError(
                f"One region of {regions.shape[1]}x{regions.shape[2]} px does not fit the "
                "device's memory.",
                "Use a smaller --tile-size, or stop what else runs on the device.",
            ) from error
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        half = len(regions) // 2
        _LOG.warning("Out of memory with %d regions; trying %d.", len(regions), half)
        return np.concatenate(
            [predict_halving(predict, regions[:half]), predict_halving(predict, regions[half:])]
        )
    return maps


class OpenVinoPredictor:
    """OpenVINO on the CPU in fp32, compiled once per region shape."""

    backend = "openvino"
    device = "cpu"
    precision = "fp32"

    def __init__(self, model: LoadedModel, compute: Compute) -> None:
        import openvino as ov

        self._core = ov.Core()
        example = torch.zeros((1, 64, 64, 3), dtype=torch.uint8)
        with torch.inference_mode(), warnings.catch_warnings():
            # OpenVINO's converter traces; torch announces that tracing will go one day.
            warnings.filterwarnings("ignore", message=".*torch.jit", category=DeprecationWarning)
            warnings.filterwarnings("ignore", message=".*torch.jit", category=FutureWarning)
            self._model = ov.convert_model(
                MapsFromPixels(model.network).eval(), example_input=example
            )
        self._compiled: dict[tuple[int, int], Any] = {}
        self._batch_size = compute.batch_size

    def predict(self, regions: Regions) -> PredictedMaps:
        """See :class:`Predictor`. One region at a time: a CPU gains nothing from batches."""
        infer = self._for_shape(regions.shape[1:3])
        try:
            maps = [infer(regions[i : i + 1])[0].astype(np.float16) for i in range(len(regions))]
        except RuntimeError as error:
            raise ComputeError(
                f"OpenVINO failed on a region of {regions.shape[1]}x{regions.shape[2]} px: {error}",
                "Usually memory: use a smaller --tile-size.",
            ) from error
        return np.concatenate(maps)

    def _for_shape(self, shape: tuple[int, int]) -> Any:
        if shape not in self._compiled:
            self._compiled.clear()  # a slide has one shape; an old one only holds memory
            self._model.reshape([1, *shape, 3])
            self._compiled[shape] = self._core.compile_model(
                self._model,
                "CPU",
                {"INFERENCE_NUM_THREADS": available_cores(), "INFERENCE_PRECISION_HINT": "f32"},
            )
        return self._compiled[shape]

    def batch_size(self, region_shape: tuple[int, int]) -> int:
        """1 unless set."""
        return self._batch_size or 1
