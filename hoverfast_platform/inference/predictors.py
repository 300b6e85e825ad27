"""Regions in, maps out, on a device: the two compute backends behind one interface.

``torch`` (``torch_predictor``) runs on CUDA, MPS and the CPU; ``openvino`` on the CPU, where it
is faster. Both run the same graph: :class:`hoverfast_platform.model.network.MapsFromPixels`,
then :class:`hoverfast_platform.model.border_steepness.BorderSteepness`.
"""

from __future__ import annotations

import importlib.util
import warnings
from typing import Any, Protocol

import numpy as np
import torch

from hoverfast_platform.arrays import PredictedMaps
from hoverfast_platform.config import Compute
from hoverfast_platform.cores import available_cores, has_bfloat16, has_vnni
from hoverfast_platform.errors import ComputeError, SettingsError
from hoverfast_platform.inference.graph_border_steepness import with_border_steepness
from hoverfast_platform.inference.graph_statistics import with_statistics
from hoverfast_platform.inference.torch_predictor import Regions, TorchPredictor
from hoverfast_platform.model.checkpoint import LoadedModel
from hoverfast_platform.model.network import HoverFast, MapsFromPixels
from hoverfast_platform.model.quantised import find_int8


class Predictor(Protocol):
    """Predicts maps for batches of regions."""

    backend: str
    device: str
    precision: str
    arithmetic: str
    """All that decides the maps besides the weights; part of a result's identity."""
    n_concurrent: int
    """Calls of ``predict`` that do better at the same time than one after another."""

    def with_network(self, network: HoverFast) -> Predictor:
        """One like this for the same weights with other batch-norm statistics."""
        ...

    def predict(self, regions: Regions) -> PredictedMaps:
        """``(N, H, W, 3)`` to ``(N, 2, H, W)``: probability, steepness of borders.

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
    devices = resolve_devices(compute.device)
    if devices == ("cpu",):
        return _on_cpu(model, compute)
    if compute.precision == "int8":
        raise SettingsError(
            f"Precision int8 was asked for on {compute.device}; it is for CPUs.",
            "Leave --precision at auto.",
        )
    return TorchPredictor(model, compute, devices)


def resolve_devices(names: str) -> tuple[str, ...]:
    """The devices a setting stands for: one, several with commas between, or ``cuda:all``.

    Raises:
        SettingsError: If the machine does not have one, or one is named twice.
    """
    if names == "cuda:all":
        names = ",".join(f"cuda:{i}" for i in range(torch.cuda.device_count())) or "cuda"
    devices = tuple(resolve_device(name.strip()) for name in names.split(","))
    if len(set(devices)) < len(devices) or (len(devices) > 1 and not _are_all_cuda(devices)):
        raise SettingsError(
            f"Devices {names!r} were asked for; several must be different CUDA devices.",
            "Use cuda:all, or for instance cuda:0,cuda:1.",
        )
    return devices


def _are_all_cuda(devices: tuple[str, ...]) -> bool:
    return all(device.startswith("cuda") for device in devices)


def resolve_device(name: str) -> str:
    """The device a setting stands for: ``cpu``, ``cuda:0``, ``mps``.

    Raises:
        SettingsError: If the machine does not have it.
    """
    if name == "auto":
        return "cuda:0" if torch.cuda.is_available() else "cpu"
    kind, _, number = name.partition(":")
    if kind == "cpu":
        return "cpu"
    if kind == "cuda" and torch.cuda.is_available() and (number or "0").isdigit():
        index = int(number or 0)
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


class OpenVinoPredictor:
    """OpenVINO on the CPU, compiled once per region shape.

    Args:
        graph: From :func:`openvino_graph`, or an int8 form; its maps, not yet what is decoded.
        network: From which it was made.
        precision: ``fp32``; ``bf16`` computes convolutions in it; ``int8`` as the graph says.
        batch_size: Regions handed over together.
        digest: Of an int8 graph.
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

    def with_network(self, network: HoverFast) -> OpenVinoPredictor:
        """See :class:`Predictor`; compiled anew, which takes half a second."""
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
        return self._compiled[shape]

    def batch_size(self, region_shape: tuple[int, int]) -> int:
        """1 unless set."""
        return self._batch_size or 1


def openvino_graph(model: LoadedModel) -> Any:
    """A model's maps from pixels as an OpenVINO graph in fp32, for regions of any size."""
    import openvino as ov

    example = torch.zeros((1, 64, 64, 3), dtype=torch.uint8)
    with torch.inference_mode(), warnings.catch_warnings():
        # OpenVINO's converter traces; torch announces that tracing will go one day.
        warnings.filterwarnings("ignore", message=".*torch.jit", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message=".*torch.jit", category=FutureWarning)
        graph = ov.convert_model(MapsFromPixels(model.network).eval(), example_input=example)
    graph.reshape([1, -1, -1, 3])
    return graph


def _on_cpu(model: LoadedModel, compute: Compute) -> Predictor:
    """The fastest form of a model that this CPU computes without emulating it."""
    wanted = compute.precision
    if wanted == "fp16":
        raise SettingsError(
            "Precision fp16 was asked for on a CPU, which computes in fp32, bf16 or int8.",
            "Leave --precision at auto, or choose a GPU.",
        )
    if importlib.util.find_spec("openvino") is None:
        return _on_cpu_by_torch(model, compute)
    import openvino as ov

    int8 = find_int8(model.path, model.digest) if wanted in {"auto", "int8"} else None
    if wanted == "int8" and int8 is None:
        raise SettingsError(
            f"{model.card.name} has no int8 form.",
            "Make one with `hoverfast models quantise`, or leave --precision at auto.",
        )
    if int8 is not None and (wanted == "int8" or has_vnni()):
        return OpenVinoPredictor(
            ov.Core().read_model(int8.graph_path),
            model.network,
            "int8",
            batch_size=compute.batch_size,
            digest=int8.card.graph_digest[:10],
        )
    precision = "bf16" if wanted == "bf16" or (wanted == "auto" and has_bfloat16()) else "fp32"
    return OpenVinoPredictor(
        openvino_graph(model), model.network, precision, batch_size=compute.batch_size
    )


def _on_cpu_by_torch(model: LoadedModel, compute: Compute) -> TorchPredictor:
    """Where OpenVINO is not installed, as beside a GPU: at a fraction of its speed."""
    if compute.precision == "int8":
        raise SettingsError(
            "Precision int8 was asked for, and OpenVINO, which computes it, is not installed.",
            "pip install openvino, or leave --precision at auto.",
        )
    warnings.warn(
        "OpenVINO is not installed, so the CPU predicts with torch, several times slower: "
        "pip install openvino.",
        stacklevel=2,
    )
    return TorchPredictor(model, compute, ("cpu",))
