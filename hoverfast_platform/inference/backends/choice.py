"""The fastest backend for a machine: torch on a GPU, OpenVINO on a CPU that has it installed.

Torch takes seconds to start and is imported only where it computes.
"""

from __future__ import annotations

import importlib.util
import warnings
from typing import TYPE_CHECKING

from hoverfast_platform.config import Compute
from hoverfast_platform.cores import has_bfloat16, int8_arithmetic
from hoverfast_platform.errors import SettingsError
from hoverfast_platform.inference.backends.devices import resolve_devices
from hoverfast_platform.inference.backends.openvino_predictor import (
    OpenVinoPredictor,
    openvino_graph,
    stored_graph,
)
from hoverfast_platform.inference.backends.predictor import Predictor
from hoverfast_platform.model.checkpoint import LoadedModel
from hoverfast_platform.model.quantised import find_int8

if TYPE_CHECKING:
    from hoverfast_platform.inference.backends.torch_predictor import TorchPredictor


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
    return _by_torch(model, compute, devices)


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
    int8 = find_int8(model.path, model.digest) if wanted in {"auto", "int8"} else None
    if wanted == "int8" and int8 is None:
        raise SettingsError(
            f"{model.card.name} has no int8 form.",
            "Make one with `hoverfast models quantise`, or leave --precision at auto.",
        )
    if int8 is not None and (wanted == "int8" or int8.agrees_on(int8_arithmetic())):
        return OpenVinoPredictor(
            stored_graph(int8.graph_path),
            model,
            "int8",
            batch_size=compute.batch_size,
            digest=int8.card.graph_digest[:10],
        )
    precision = "bf16" if wanted == "bf16" or (wanted == "auto" and has_bfloat16()) else "fp32"
    return OpenVinoPredictor(openvino_graph(model), model, precision, batch_size=compute.batch_size)


def _on_cpu_by_torch(model: LoadedModel, compute: Compute) -> TorchPredictor:
    """The predictor where OpenVINO is not installed, as on many GPU machines; far slower."""
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
    return _by_torch(model, compute, ("cpu",))


def _by_torch(model: LoadedModel, compute: Compute, devices: tuple[str, ...]) -> TorchPredictor:
    from hoverfast_platform.inference.backends.torch_predictor import TorchPredictor

    return TorchPredictor(model, compute, devices)
