"""Seconds of the clock and of processors that a piece of work takes, the database's included."""

from __future__ import annotations

import time
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Cost:
    """Of some work, in seconds.

    Attributes:
        clock_s: Of the clock; a busy machine shows here.
        cpu_s: Of this process and its children.
        server_cpu_s: Of all processes of the database server.
    """

    clock_s: float
    cpu_s: float
    server_cpu_s: float

    def __sub__(self, other: Cost) -> Cost:
        return Cost(
            self.clock_s - other.clock_s,
            self.cpu_s - other.cpu_s,
            self.server_cpu_s - other.server_cpu_s,
        )

    def per(self, n: int) -> dict[str, float]:
        """For one of ``n``, as JSON takes it."""
        return {name: round(value / n, 5) for name, value in vars(self).items()}


class Meter:
    """Reads the clocks; the difference of two readings is a cost."""

    def __init__(self, server_pid: int) -> None:
        self._me, self._server = psutil.Process(), psutil.Process(server_pid)

    def read(self) -> Cost:
        return Cost(time.monotonic(), _cpu_s(self._me, but=self._server), _cpu_s(self._server))


def _cpu_s(process: psutil.Process, but: psutil.Process | None = None) -> float:
    """Of a process, its children that ended, and those that live."""
    own = process.cpu_times()
    total: float = own.user + own.system + own.children_user + own.children_system
    for child in process.children():
        if child != but:
            try:
                total += _cpu_s(child)
            except psutil.NoSuchProcess:
                continue  # has just ended; the parent's own times have it once it is waited for
    return total
