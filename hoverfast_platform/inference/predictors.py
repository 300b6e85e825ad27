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
from hoverfast_platform.model.quantised import find_int8

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
    arithmetic: str
    """All that decides the maps besides the weights; part of a result's identity."""

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
        return _on_cpu(model, compute)
    if compute.precision == "int8":
        raise SettingsError(
            f"Precision int8 was asked for on {device}; it is for CPUs.",
            "Leave --precision at auto.",
        )
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
        self.arithmetic = f"torch {self.precision}"
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
    """OpenVINO on the CPU, compiled once per region shape.

    Args:
        graph: From :func:`openvino_graph`, or an int8 form.
        precision: ``fp32``; ``bf16`` computes convolutions in it; ``int8`` as the graph says.
        batch_size: Regions handed over together.
        digest: Of an int8 graph.
    """

    backend = "openvino"
    device = "cpu"

    def __init__(
        self, graph: Any, precision: str, *, batch_size: int = 0, digest: str = ""
    ) -> None:
        import openvino as ov

        self.precision = precision
        self.arithmetic = f"openvino {precision} {digest}".strip()
        self._core = ov.Core()
        self._model = graph
        self._compiled: dict[tuple[int, int], Any] = {}
        self._batch_size = batch_size

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
                {
                    "INFERENCE_NUM_THREADS": available_cores(),
                    # What int8 leaves in floating point is cheap, and then as exact as fp32.
                    "INFERENCE_PRECISION_HINT": "bf16" if self.precision == "bf16" else "f32",
                },
            )
        return self._compiled[shape]

    def batch_size(self, region_shape: tuple[int, int]) -> int:
        """1 unless set."""
        return self._batch_size or 1


def openvino_graph(model: LoadedModel) -> Any:
    """A model as an OpenVINO graph in fp32, for regions of any size."""
    import openvino as ov

    example = torch.zeros((1, 64, 64, 3), dtype=torch.uint8)
    with torch.inference_mode(), warnings.catch_warnings():
        # OpenVINO's converter traces; torch announces that tracing will go one day.
        warnings.filterwarnings("ignore", message=".*torch.jit", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message=".*torch.jit", category=FutureWarning)
        graph = ov.convert_model(MapsFromPixels(model.network).eval(), example_input=example)
    graph.reshape([1, -1, -1, 3])
    return graph


def _on_cpu(model: LoadedModel, compute: Compute) -> OpenVinoPredictor:
    """The fastest form of a model that this CPU computes without emulating it."""
    import openvino as ov

    wanted = compute.precision
    if wanted == "fp16":
        raise SettingsError(
            "Precision fp16 was asked for on a CPU, which computes in fp32, bf16 or int8.",
            "Leave --precision at auto, or choose a GPU.",
        )
    has = torch.cpu.get_capabilities()
    int8 = find_int8(model.path, model.digest) if wanted in {"auto", "int8"} else None
    if wanted == "int8" and int8 is None:
        raise SettingsError(
            f"{model.card.name} has no int8 form.",
            "Make one with `hoverfast models quantise`, or leave --precision at auto.",
        )
    if int8 is not None and (wanted == "int8" or has.get("avx512_vnni") or has.get("avx_vnni")):
        return OpenVinoPredictor(
            ov.Core().read_model(int8.graph_path),
            "int8",
            batch_size=compute.batch_size,
            digest=int8.card.graph_digest[:10],
        )
    native = has.get("avx512_bf16") or has.get("amx_bf16")
    precision = "bf16" if wanted == "bf16" or (wanted == "auto" and native) else "fp32"
    return OpenVinoPredictor(openvino_graph(model), precision, batch_size=compute.batch_size)
