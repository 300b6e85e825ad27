"""What a GPU and the host do while something runs: NVML and the process tree, sampled."""

from __future__ import annotations

import statistics
import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import psutil

_SAMPLE_S = 0.1
_SLOW_SAMPLES = 5
"""Every so many samples what takes long to ask: memory of the processes, bytes over PCIe."""


@dataclass
class Watched:
    """Samples of one run.

    Attributes:
        at_s: Seconds from the start to each sample.
        busy_percent: Load of the GPU: share of the last sampling period in which a kernel ran.
        cores: Cores that the process tree kept busy between samples.
        host_bytes: Most memory of the tree (PSS where the system tells it).
        to_device_bytes_per_s: Rate to the GPU over PCIe.
        from_device_bytes_per_s: Rate from the GPU over PCIe.
    """

    at_s: list[float] = field(default_factory=list)
    busy_percent: list[float] = field(default_factory=list)
    cores: list[float] = field(default_factory=list)
    host_bytes: int = 0
    to_device_bytes_per_s: list[float] = field(default_factory=list)
    from_device_bytes_per_s: list[float] = field(default_factory=list)

    def mean_busy(self, begin_s: float, end_s: float) -> float:
        """The mean use of the GPU between two times, in percent; NaN where there was no sample."""
        inside = [
            busy
            for at, busy in zip(self.at_s, self.busy_percent, strict=False)
            if begin_s <= at <= end_s
        ]
        return statistics.mean(inside) if inside else float("nan")


class DeviceWatch:
    """Samples while the block runs; without NVML, the host alone."""

    def __init__(self, device: str) -> None:
        self.seen = Watched()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._handle: Any = None
        if device.startswith("cuda"):
            import pynvml

            pynvml.nvmlInit()
            index = int(device.partition(":")[2] or 0)
            self._nvml, self._handle = pynvml, pynvml.nvmlDeviceGetHandleByIndex(index)

    def __enter__(self) -> Self:
        self.started = time.perf_counter()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._stopped.set()
        self._thread.join()

    def _sample(self) -> None:
        seen, tree = self.seen, psutil.Process()
        cpu_before, before, n = _cpu_seconds(tree), time.perf_counter(), 0
        while not self._stopped.wait(_SAMPLE_S):
            seen.at_s.append(time.perf_counter() - self.started)
            if self._handle is not None:
                rates = self._nvml.nvmlDeviceGetUtilizationRates(self._handle)
                seen.busy_percent.append(float(rates.gpu))
            if n % _SLOW_SAMPLES == 0:
                now, cpu = time.perf_counter(), _cpu_seconds(tree)
                seen.cores.append((cpu - cpu_before) / (now - before))
                cpu_before, before = cpu, now
                seen.host_bytes = max(seen.host_bytes, _bytes(tree))
                self._sample_transfers()
            n += 1

    def _sample_transfers(self) -> None:
        if self._handle is None:
            return
        for counter, rates in (
            (self._nvml.NVML_PCIE_UTIL_RX_BYTES, self.seen.to_device_bytes_per_s),
            (self._nvml.NVML_PCIE_UTIL_TX_BYTES, self.seen.from_device_bytes_per_s),
        ):
            try:
                kib = self._nvml.nvmlDeviceGetPcieThroughput(self._handle, counter)
            except self._nvml.NVMLError:  # virtual machines may hide it
                continue
            rates.append(kib * 1024.0)


def _tree(root: psutil.Process) -> list[psutil.Process]:
    return [root, *root.children(recursive=True)]


def _cpu_seconds(root: psutil.Process) -> float:
    total = 0.0
    for process in _tree(root):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def _bytes(root: psutil.Process) -> int:
    total = 0
    for process in _tree(root):
        try:
            info = process.memory_full_info()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        total += getattr(info, "pss", 0) or info.rss
    return total
