"""The network alone on every engine there is, in turn, on the same pixels.

It shows which engine is the fastest on a machine, and how near each comes to what the machine
can multiply. ``inference.backends.choice`` decides which one is used.
"""

from __future__ import annotations

import io
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import nn

from hoverfast_platform.arrays import RgbImage
from hoverfast_platform.benchmark.instanseg_peer import NETWORK, WHOLE, instanseg_engines
from hoverfast_platform.benchmark.spread import Spread
from hoverfast_platform.cores import available_cores, has_bfloat16
from hoverfast_platform.inference.backends.openvino_predictor import (
    OpenVinoPredictor,
    openvino_graph,
)
from hoverfast_platform.inference.backends.torch_predictor import graph_on
from hoverfast_platform.model.checkpoint import LoadedModel
from hoverfast_platform.model.network import MapsFromPixels
from hoverfast_platform.model.quantised import find_int8

_Regions: TypeAlias = np.ndarray[Any, np.dtype[np.uint8]]
_Predict: TypeAlias = Callable[[_Regions], Any]

EAGER = "torch eager fp32"
"""What the others are compared with: the network as it is written."""
_PRODUCT_SIDE = 1024


@dataclass(frozen=True)
class EngineTime:
    """One engine on one region, round by round.

    Attributes:
        name: Engine and precision.
        n_threads: It may use.
        seconds: Wall clock.
        cpu_seconds: Processor time of all threads.
        giga_operations: Multiplications and additions of one call, in thousands of millions; 0
            where they are not counted.
        skipped: Why it was not run; empty if it was.
    """

    name: str
    n_threads: int
    seconds: tuple[float, ...]
    cpu_seconds: tuple[float, ...]
    giga_operations: float
    skipped: str = ""


class _NotHereError(Exception):
    """An engine cannot run on this machine; its text says why."""


def time_engines(
    model: LoadedModel,
    rgb: RgbImage,
    n_rounds: int,
    *,
    threads: Sequence[int],
    without: Sequence[str] = (),
) -> list[EngineTime]:
    """Every engine on one region, in turn.

    Args:
        model: Its network is timed.
        rgb: ``(H, W, 3)``, sides multiples of 4.
        n_rounds: The engines follow each other in every round; one round before is not counted.
        threads: How many each may use; with each number all engines are timed.
        without: Names of engines to leave out.
    """
    regions = rgb[None]
    operations = 2e-9 * multiplications_per_pixel(model) * rgb.shape[0] * rgb.shape[1]
    found: list[EngineTime] = []
    for n_threads in threads:
        torch.set_num_threads(n_threads)
        ready: dict[str, _Predict] = {}
        for name, make in _ENGINES.items():
            if name in without:
                continue
            try:
                ready[name] = make(model, n_threads)
                ready[name](regions)
            except _NotHereError as error:
                found.append(EngineTime(name, n_threads, (), (), operations, str(error)))
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ready}
        for _ in range(n_rounds):
            for name, predict in ready.items():
                started, cpu_started = time.perf_counter(), time.process_time()
                predict(regions)
                taken[name].append(
                    (time.perf_counter() - started, time.process_time() - cpu_started)
                )
        for name, rounds in taken.items():
            seconds, cpu = zip(*rounds, strict=True)
            n = {_PRODUCT: 2e-9 * _PRODUCT_SIDE**3, NETWORK: 0.0, WHOLE: 0.0}.get(name, operations)
            found.append(EngineTime(name, n_threads, seconds, cpu, n))
    torch.set_num_threads(available_cores())
    return found


def engine_table(times: Sequence[EngineTime]) -> str:
    """Markdown; ratios to eager torch are taken round by round."""
    if not times:
        return ""
    lines = [
        "| engine | threads | s | CPU s | GFLOP per CPU s | times as fast as eager torch, "
        "CPU | wall clock |",
        "|---|---|---|---|---|---|---|",
    ]
    eager = {t.n_threads: t for t in times if t.name == EAGER}
    for t in times:
        if t.skipped:
            lines.append(f"| {t.name} | {t.n_threads} | not run: {t.skipped} | | | | |")
            continue
        rate = f"{t.giga_operations / statistics.median(t.cpu_seconds):.0f}"
        ratios = ["", ""]
        if t.name != _PRODUCT:
            base = eager[t.n_threads]
            ratios = [
                str(Spread.of([b / a for a, b in zip(mine, theirs, strict=True)]))
                for mine, theirs in ((t.cpu_seconds, base.cpu_seconds), (t.seconds, base.seconds))
            ]
        lines.append(
            f"| {t.name} | {t.n_threads} | {Spread.of(t.seconds)} | {Spread.of(t.cpu_seconds)} "
            f"| {rate if t.giga_operations else ''} | {ratios[0]} | {ratios[1]} |"
        )
    return "\n".join(lines)


def multiplications_per_pixel(model: LoadedModel) -> float:
    """Count multiplications with their additions in all convolutions, per pixel of the input."""
    side, total = 64, 0.0

    def count(layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal total
        # Every value of a convolution's output, or of a transposed one's input, meets this many.
        met = inputs[0] if isinstance(layer, nn.ConvTranspose2d) else output
        total += met.numel() * next(layer.parameters())[0].numel()

    layers = [
        layer
        for layer in model.network.modules()
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
    ]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    try:
        with torch.inference_mode():
            model.network.eval()(torch.zeros(1, 3, side, side))
    finally:
        for hook in hooks:
            hook.remove()
    return total / side**2


def _eager(model: LoadedModel, _n_threads: int) -> _Predict:
    return _torch(MapsFromPixels(model.network).eval())


def _folded(model: LoadedModel, _n_threads: int) -> _Predict:
    return _torch(graph_on("cpu", model, torch.float32, is_compiled=False))


def _compiled(model: LoadedModel, _n_threads: int) -> _Predict:
    predict = _torch(graph_on("cpu", model, torch.float32, is_compiled=True))
    try:
        predict(np.zeros((1, 64, 64, 3), np.uint8))
    except torch._dynamo.exc.BackendCompilerFailed as error:
        raise _NotHereError(
            f"it needs a C++ compiler ({type(error.inner_exception).__name__})"
        ) from error
    return predict


def _torch(graph: Any) -> _Predict:
    def predict(regions: _Regions) -> Any:
        with torch.inference_mode():
            return graph(torch.from_numpy(regions))

    return predict


def _onnx_runtime(model: LoadedModel, n_threads: int) -> _Predict:
    try:
        import onnxruntime
        import onnxscript  # noqa: F401 - torch writes ONNX by it
    except ImportError as error:
        raise _NotHereError(f"pip install onnxruntime onnxscript ({error})") from error
    file = io.BytesIO()
    example = torch.zeros((1, 64, 64, 3), dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch about its own exporter
        program = torch.onnx.export(
            MapsFromPixels(model.network).eval(),
            (example,),
            dynamic_shapes=({1: 4 * torch.export.Dim("h"), 2: 4 * torch.export.Dim("w")},),
            dynamo=True,
            verbose=False,
        )
    program.save(file)  # type: ignore[union-attr, arg-type]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(
        file.getvalue(), options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    return lambda regions: session.run(None, {name: regions})


def _openvino(precision: str) -> Callable[[LoadedModel, int], _Predict]:
    def make(model: LoadedModel, n_threads: int) -> _Predict:
        if precision == "bf16" and not has_bfloat16():
            raise _NotHereError("this CPU does not multiply in bfloat16")
        graph = openvino_graph(model)
        if precision == "int8":
            form = find_int8(model.path, model.digest)
            if form is None:
                raise _NotHereError("the model has no int8 form")
            import openvino as ov

            graph = ov.Core().read_model(form.graph_path)
        return OpenVinoPredictor(graph, model, precision, n_threads=n_threads).predict

    return make


def _matrix_product(_model: LoadedModel, _n_threads: int) -> _Predict:
    """Two large matrices: what an optimised library reaches where nothing is in its way."""
    a, b = torch.rand(2, _PRODUCT_SIDE, _PRODUCT_SIDE)
    return lambda _regions: torch.mm(a, b)


_PRODUCT = f"(matrix product, {_PRODUCT_SIDE} squared, fp32)"
_ENGINES: dict[str, Callable[[LoadedModel, int], _Predict]] = {
    EAGER: _eager,
    "torch fp32, batch norms folded, channels last": _folded,
    "torch.compile fp32": _compiled,
    "ONNX Runtime fp32": _onnx_runtime,
    "OpenVINO fp32": _openvino("fp32"),
    "OpenVINO bf16": _openvino("bf16"),
    "OpenVINO int8": _openvino("int8"),
    **instanseg_engines(_NotHereError),
    _PRODUCT: _matrix_product,
}
