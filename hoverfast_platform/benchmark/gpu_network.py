"""Parts of a GPU check: the network alone, run in every way, and where its time goes."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

from hoverfast_platform.benchmark.engines import multiplications_per_pixel
from hoverfast_platform.benchmark.gpu_context import CheckContext
from hoverfast_platform.benchmark.gpu_record import Figure
from hoverfast_platform.config import Compute
from hoverfast_platform.inference.backends.torch_predictor import graph_on

_PART = "network"
_TILE_PX = 1024
_REGION_PX = 1216
_MM2_PER_REGION = (_TILE_PX * 0.25e-3) ** 2
"""What a region's tile owns; its margins are computed besides."""


def _region_px(context: CheckContext) -> int:
    return _REGION_PX if context.is_cuda else 128


def check_network(context: CheckContext) -> Iterator[Figure]:
    """Seconds per mm2 of the graph alone: batches, precisions, layouts, CUDA graphs."""
    side = _region_px(context)
    per_pixel = 2e-12 * multiplications_per_pixel(context.model())
    pixels = torch.from_numpy(context.regions(16 if context.is_cuda else 2, side))
    pixels = pixels.to(context.device)

    def figures(
        name: str, graph: Callable[[Any], Any], n: int, remark: str = ""
    ) -> Iterator[Figure]:
        with torch.inference_mode():
            seconds = context.seconds_of(lambda: graph(pixels[:n]))
        tera = per_pixel * n * side * side / seconds
        mm2 = n * _MM2_PER_REGION * (side / _REGION_PX) ** 2
        yield Figure(_PART, name, seconds / mm2, "s/mm2", f"{tera:.1f} Tflop/s {remark}".strip())

    half = torch.float16 if context.is_cuda else torch.float32
    plain = graph_on(context.device, context.model(), half, is_compiled=False)
    for n in (8, 1, 2, 4, 16):
        if n <= len(pixels):
            yield from figures(f"half precision, {n} regions", plain, n)
    n = min(8, len(pixels))
    if not context.is_cuda:
        return
    torch.backends.cudnn.benchmark = True
    yield from figures("cudnn.benchmark, 8 regions", plain, n)
    yield from figures("cudnn.benchmark, 4 regions", plain, 4)
    torch.backends.cudnn.benchmark = False
    torch.cuda.empty_cache()
    rows = plain.to(memory_format=torch.contiguous_format)
    yield from figures("weights not channels-last, 8 regions", rows, n)
    for name, dtype in (("bf16", torch.bfloat16), ("fp32 with TF32", torch.float32)):
        graph = graph_on(context.device, context.model(), dtype, is_compiled=False)
        yield from figures(f"{name}, 8 regions", graph, n)
    torch.cuda.empty_cache()
    plain = graph_on(context.device, context.model(), half, is_compiled=False)
    yield from figures("CUDA graph, 8 regions", _captured(plain, pixels[:n]), n)


def _captured(graph: Callable[[Any], Any], pixels: Any) -> Callable[[Any], Any]:
    """A CUDA graph of one call; its input stays where it is."""
    with torch.inference_mode():
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            graph(pixels)
        torch.cuda.current_stream().wait_stream(stream)
        captured = torch.cuda.CUDAGraph()
        with torch.cuda.graph(captured):
            graph(pixels)
    return lambda _pixels: captured.replay()


def check_kernels(context: CheckContext) -> Iterator[Figure]:
    """Where the time goes on the device, kernel by kernel."""
    side = _region_px(context)
    half = torch.float16 if context.is_cuda else torch.float32
    graph = graph_on(context.device, context.model(), half, is_compiled=False)
    pixels = torch.from_numpy(context.regions(8 if context.is_cuda else 1, side))
    pixels = pixels.to(context.device)
    kinds = [torch.profiler.ProfilerActivity.CPU]
    if context.is_cuda:
        kinds.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.inference_mode():
        graph(pixels)
        context.synchronize()
        with torch.profiler.profile(activities=kinds, record_shapes=True) as profiler:
            graph(pixels)
            context.synchronize()
    for grouping, averages in (
        ("kernel", profiler.key_averages()),
        ("layer", profiler.key_averages(group_by_input_shape=True)),
    ):
        taken = [(_own_time(event, context), event) for event in averages]
        if grouping == "kernel" and context.is_cuda:
            taken = [(t, e) for t, e in taken if str(e.device_type).endswith("CUDA")]
        if grouping == "layer":
            taken = [(t, e) for t, e in taken if e.key.startswith("aten::") and e.input_shapes]
        total = sum(t for t, _ in taken) or 1.0
        for t, event in sorted(taken, key=lambda pair: -pair[0])[:14]:
            shapes = str(event.input_shapes[:2]) if grouping == "layer" else ""
            yield Figure(
                "kernels", f"{grouping}: {event.key[:90]}", 100 * t / total, "%",
                f"{t / 1e3:.2f} ms in {event.count} calls {shapes}",
            )  # fmt: skip


def _own_time(event: Any, context: CheckContext) -> float:
    """Microseconds; torch renamed the attribute between 2.4 and 2.6."""
    if not context.is_cuda:
        return float(event.self_cpu_time_total)
    for name in ("self_device_time_total", "self_cuda_time_total"):
        if hasattr(event, name):
            return float(getattr(event, name))
    return 0.0


def check_compiled(context: CheckContext) -> Iterator[Figure]:
    """What torch.compile makes of the graph, and how long that takes."""
    part = "compile"
    side = _region_px(context)
    n = 8 if context.is_cuda else 1
    half = torch.float16 if context.is_cuda else torch.float32
    pixels = torch.from_numpy(context.regions(n, side)).to(context.device)
    graph = graph_on(context.device, context.model(), half, is_compiled=True)
    with torch.inference_mode():
        started = time.perf_counter()
        graph(pixels)
        context.synchronize()
        yield Figure(part, "compiling, once a process", time.perf_counter() - started, "s")
        seconds = context.seconds_of(lambda: graph(pixels))
        mm2 = n * _MM2_PER_REGION * (side / _REGION_PX) ** 2
        yield Figure(part, f"{n} regions", seconds / mm2, "s/mm2")
        plain = graph_on(context.device, context.model(), half, is_compiled=False)
        gap = (graph(pixels).float() - plain(pixels).float()).abs().max()
        yield Figure(part, "largest gap to the graph that is not compiled", float(gap))


def check_memory(context: CheckContext) -> Iterator[Figure]:
    """A lane that finds no memory waits for the other, and finds the same."""
    part = "out of memory"
    if not context.is_cuda:
        yield Figure(part, "tried", "no", "", "a CPU has no memory of its own")
        return
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(context.device)
    regions = context.regions(16, _REGION_PX)
    predictor = context.predictor(Compute(precision="fp32", batch_size=16))
    expected = predictor.predict(regions)
    peak = torch.cuda.max_memory_allocated(context.device)
    yield Figure(part, "peak of 16 regions, fp32", peak / 2**30, "GiB")
    with ThreadPoolExecutor(2) as threads:
        torch.cuda.empty_cache()
        free = torch.cuda.mem_get_info(context.device)[0]
        left = int(peak * 1.4)  # enough for one lane, too little for two at a time
        ballast = torch.empty(max(0, free - left), dtype=torch.uint8, device=context.device)
        yield Figure(part, "left for two lanes", (free - ballast.numel()) / 2**30, "GiB")
        found, again = threads.map(predictor.predict, [regions, regions])
    yield Figure(part, "values that differ, other lane", float((again != expected).sum()))
    yield Figure(part, "values that differ", float((found != expected).sum()))
    del ballast
    torch.cuda.empty_cache()
    gap = (predictor.predict(regions) != expected).sum()
    yield Figure(part, "values that differ with the memory back", float(gap))
    torch.cuda.empty_cache()
    with _memory_taken_by_another_process(context.device, left_bytes=peak // 2) as free:
        yield Figure(part, "left by another process", free / 2**30, "GiB")
        gap = (predictor.predict(regions) != expected).sum()
    yield Figure(part, "values that differ beside another process", float(gap))


_TAKE = """
import sys, torch
device, left = sys.argv[1], int(sys.argv[2])
torch.empty(1, device=device)
n_bytes = max(0, torch.cuda.mem_get_info(device)[0] - left)
held = torch.empty(n_bytes, dtype=torch.uint8, device=device)
print(torch.cuda.mem_get_info(device)[0], flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def _memory_taken_by_another_process(device: str, *, left_bytes: int) -> Iterator[int]:
    """Have another process hold all memory of a device but so much; yields what is left."""
    with subprocess.Popen(
        [sys.executable, "-c", _TAKE, device, str(left_bytes)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        try:
            yield int(other.stdout.readline())
        finally:
            other.stdin.close()  # it ends, and gives the memory back
