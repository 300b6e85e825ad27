"""The parts of a GPU check, most worth first, and the process that runs them one after another.

A process that hangs or dies takes only its part with it: ``gpu_check`` starts another one for
the parts that are left.
"""

from __future__ import annotations

import argparse
import math
import platform
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from hoverfast_platform.benchmark.benchmark_report import processor_name
from hoverfast_platform.benchmark.gpu_check import RESTART_EXIT_CODE
from hoverfast_platform.benchmark.gpu_context import CheckContext
from hoverfast_platform.benchmark.gpu_equality import (
    check_equality,
    check_hovernet,
    check_same_bytes,
    check_statistics,
)
from hoverfast_platform.benchmark.gpu_network import (
    check_compiled,
    check_kernels,
    check_memory,
    check_network,
)
from hoverfast_platform.benchmark.gpu_published import (
    check_cpu_path,
    check_published_hoverfast,
    check_published_hovernet,
)
from hoverfast_platform.benchmark.gpu_record import Figure, PartEnd, append_line
from hoverfast_platform.benchmark.gpu_throughput import check_host, check_throughput, check_ways
from hoverfast_platform.cores import available_cores


@dataclass(frozen=True)
class Part:
    """One part of the check.

    Attributes:
        name: As it is asked for.
        limit_s: After which it is ended on a GPU, if the budget does not end it before.
        check: Yields what it finds, as it finds it.
    """

    name: str
    limit_s: float
    check: Callable[[CheckContext], Iterator[Figure]]

    def limit_on(self, device: str) -> float:
        """Seconds; a CPU, on which the check itself is tried, has the whole budget."""
        return self.limit_s if device.startswith("cuda") else math.inf


def check_machine(context: CheckContext) -> Iterator[Figure]:
    """What it is measured on, and the two ceilings of the device."""
    part = "machine"
    yield Figure(part, "processor", processor_name(), "", f"{available_cores()} cores")
    yield Figure(
        part,
        "python, numpy, torch",
        f"{platform.python_version()}, {np.__version__}, {torch.__version__}",
    )
    if not context.is_cuda:
        return
    properties = torch.cuda.get_device_properties(context.device)
    yield Figure(
        part, "GPU", properties.name, "",
        f"{properties.total_memory / 2**30:.0f} GiB, {properties.multi_processor_count} "
        f"multiprocessors, CUDA {torch.version.cuda}",
    )  # fmt: skip
    one = torch.rand(2**28, device=context.device)
    other = torch.empty_like(one)
    seconds = context.seconds_of(lambda: other.copy_(one), 5)
    yield Figure(
        part, "copy within the device, read and written", 2 * one.nbytes / seconds / 1e12, "TB/s"
    )
    a = torch.randn(8192, 8192, device=context.device, dtype=torch.float16)
    seconds = context.seconds_of(lambda: a @ a, 5)
    yield Figure(
        part, "product of two 8192 px matrices, fp16", 2e-12 * 8192**3 / seconds, "Tflop/s"
    )
    pinned = torch.empty(2**27, dtype=torch.uint8, pin_memory=True)
    on_device = torch.empty(2**27, dtype=torch.uint8, device=context.device)
    for name, to, of in (("to", on_device, pinned), ("from", pinned, on_device)):
        seconds = context.seconds_of(lambda to=to, of=of: to.copy_(of, non_blocking=True), 5)
        yield Figure(part, f"pinned memory {name} the device", 2**27 / seconds / 1e9, "GB/s")


def check_training_part(context: CheckContext) -> Iterator[Figure]:
    """See ``gpu_training``, which needs PyTables and TensorBoard."""
    from hoverfast_platform.benchmark.gpu_training import check_training

    yield from check_training(context)


PARTS = (
    Part("machine", 20, check_machine),
    Part("equality", 40, check_equality),
    Part("network", 40, check_network),
    Part("throughput", 120, check_throughput),
    Part("kernels", 20, check_kernels),
    Part("training", 40, check_training_part),
    Part("host", 30, check_host),
    Part("same-bytes", 20, check_same_bytes),
    Part("ways", 40, check_ways),
    Part("memory", 20, check_memory),
    Part("statistics", 15, check_statistics),
    Part("published-hoverfast", 120, check_published_hoverfast),
    Part("hovernet", 30, check_hovernet),
    Part("published-hovernet", 60, check_published_hovernet),
    Part("compile", 80, check_compiled),
    Part("cpu-path", 40, check_cpu_path),
)


def main() -> None:
    """Run parts and write their figures to the file of lines."""
    parser = argparse.ArgumentParser()
    for name in ("lines", "parts", "device", "model", "tiles", "scratch", "areas"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("hoverfast", "hovernet"):
        parser.add_argument(f"--{name}", type=Path)
    parser.add_argument("--ends-at", type=float, required=True)
    asked = parser.parse_args()
    whole = CheckContext(
        device=asked.device,
        model_name=asked.model,
        tiles_dir=Path(asked.tiles),
        scratch=Path(asked.scratch),
        ends_at=asked.ends_at,
        areas_mm2=tuple(float(area) for area in asked.areas.split(",")),
        hoverfast=asked.hoverfast,
        hovernet=asked.hovernet,
    )
    lines = Path(asked.lines)
    by_name = {part.name: part for part in PARTS}
    for name in asked.parts.split(","):
        part = by_name[name]
        started, failure = time.time(), ""
        context = whole.until(min(whole.ends_at, started + part.limit_on(asked.device)))
        try:
            for figure in part.check(context):
                append_line(
                    lines, Figure(name, figure.name, figure.value, figure.unit, figure.remark)
                )
        except Exception as error:  # the next part goes on whatever this one met
            failure = f"{type(error).__name__}: {error}"
            traceback.print_exc()
        append_line(lines, PartEnd(name, round(time.time() - started, 2), failure))
        if "CUDA error" in failure:
            sys.exit(RESTART_EXIT_CODE)
        if context.is_cuda:
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
