"""What a running step tells through the run's log: how far it is and how long it will take."""

from __future__ import annotations

import time
from collections.abc import Callable

import dagster as dg

from hoverfast_platform.progress import OnProgress, Progress

_EVERY_S = 10.0
"""Each line is a row in Dagster's database, written in some 50 ms."""


def log_progress(
    context: dg.AssetExecutionContext,
    name: str,
    *,
    every_s: float = _EVERY_S,
    clock: Callable[[], float] = time.monotonic,
) -> OnProgress:
    """A listener that writes a line every ten seconds, with speed and time left.

    Args:
        context: The running step's.
        name: What is being worked on, first word of the line.
        every_s: Seconds between lines.
        clock: Seconds, for tests.
    """
    first = (0.0, 0)
    before: Progress | None = None
    last_s = float("-inf")

    def report(progress: Progress) -> None:
        nonlocal first, before, last_s
        now = clock()
        # Another task, such as measuring the second of two models, has a speed of its own.
        if before is None or progress.step != before.step or progress.n_done < before.n_done:
            first = (now, progress.n_done)
        before = progress
        is_last = progress.n_done == progress.n_total
        if now - last_s < every_s and not is_last:
            return
        last_s = now
        text = f"{name}: {progress.step}, {progress.n_done} of {progress.n_total} {progress.unit}"
        # Units done before this run started took no time of it.
        n_here, elapsed_s = progress.n_done - first[1], now - first[0]
        if n_here > 0 and elapsed_s > 0:
            rate = n_here / elapsed_s
            text += (
                f", {rate:.1f} {progress.unit}/s"
                if rate >= 0.1
                else f", {duration(1 / rate)} per {progress.unit.removesuffix('s')}"
            )
            if not is_last:
                text += f", {duration((progress.n_total - progress.n_done) / rate)} left"
        context.log.info(text)

    return report


def duration(seconds: float) -> str:
    """A length of time for people.

    >>> duration(0.42), duration(75), duration(3700)
    ('0.4 s', '1 min 15 s', '1 h 02 min')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
