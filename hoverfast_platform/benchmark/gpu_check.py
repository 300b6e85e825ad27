"""``hoverfast gpu-check``: what a GPU machine finds and how fast, within a budget of seconds.

Parts run in a child process. One that hangs is ended with the child, one that fails is noted,
and the next goes on; every figure is on disk the moment it is known.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from hoverfast_platform.benchmark.gpu_record import (
    PartEnd,
    append_line,
    read_lines,
    record_text,
    write_record,
)

_POLL_S = 0.2
RESTART_EXIT_CODE = 3
"""Exit code of a child process whose device failed: that process can compute nothing more, a new
one can."""
_GRACE_S = 5.0
"""A part that knows its end may take so much longer before it is killed."""


@dataclass(frozen=True)
class GpuCheck:
    """What is asked for.

    Attributes:
        out_dir: Gets ``gpu-check.jsonl`` while it runs and ``gpu-check.json`` after every part.
        budget_s: For everything.
        parts: Names with the seconds each may take at most, in order.
        device: As torch names it.
        model: Built-in name or file.
        tiles: Folder of images of tissue.
        areas: Areas of the slides, mm2, with commas, smallest first.
        hoverfast: Checkout of the published HoverFast.
        hovernet: Checkout of the published HoVer-Net.
        module: Runs the parts, as a program of its own.
    """

    out_dir: Path
    budget_s: float
    parts: tuple[tuple[str, float], ...]
    device: str
    model: str
    tiles: Path
    areas: str
    hoverfast: Path | None = None
    hovernet: Path | None = None
    module: str = "hoverfast_platform.benchmark.gpu_parts"


def run_check(check: GpuCheck) -> str:
    """Run the parts that fit the budget and return the table."""
    check.out_dir.mkdir(parents=True, exist_ok=True)
    lines = check.out_dir / "gpu-check.jsonl"
    lines.unlink(missing_ok=True)
    ends_at = time.time() + check.budget_s
    with tempfile.TemporaryDirectory(prefix="gpu-check-") as scratch:
        left = list(check.parts)
        # Machine code is compiled once a machine, while the first parts need the device only.
        warming = subprocess.Popen(
            [sys.executable, "-c", _WARM_UP], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while left and ends_at - time.time() > _GRACE_S:
            left = _run_child(check, lines, left, ends_at, Path(scratch))
        for name, _ in left:
            append_line(lines, PartEnd(name, 0.0, "left out: the budget was spent"))
        with contextlib.suppress(ProcessLookupError):
            warming.kill()
        warming.wait()
    figures, ends = read_lines(lines)
    write_record(check.out_dir / "gpu-check.json", figures, ends)
    return record_text(figures, ends)


_WARM_UP = "from hoverfast_platform.inference.workers import warm_up; warm_up()"


def _run_child(
    check: GpuCheck,
    lines: Path,
    parts: Sequence[tuple[str, float]],
    ends_at: float,
    scratch: Path,
) -> list[tuple[str, float]]:
    """Run parts in one process until one has to be killed; returns those still to be run."""
    command = [
        sys.executable, "-m", check.module,
        "--lines", str(lines), "--parts", ",".join(name for name, _ in parts),
        "--device", check.device, "--model", check.model, "--tiles", str(check.tiles),
        "--scratch", str(scratch), "--areas", check.areas, "--ends-at", str(ends_at),
    ]  # fmt: skip
    for tool, checkout in (("hoverfast", check.hoverfast), ("hovernet", check.hovernet)):
        if checkout is not None:
            command += [f"--{tool}", str(checkout.resolve())]
    with (check.out_dir / "gpu-check.log").open("ab") as log:
        child = subprocess.Popen(command, stdout=log, stderr=log, env=dict(os.environ))
        left, began = list(parts), time.time()
        try:
            while left:
                time.sleep(_POLL_S)
                has_ended = child.poll() is not None
                figures, ends = read_lines(lines)
                done = {end.part for end in ends}
                if any(name in done for name, _ in left):
                    left, began = [part for part in left if part[0] not in done], time.time()
                    write_record(check.out_dir / "gpu-check.json", figures, ends)
                if not left:
                    break
                name, limit_s = left[0]
                is_late = time.time() > min(began + limit_s, ends_at) + _GRACE_S
                if child.returncode == RESTART_EXIT_CODE:
                    return left
                if has_ended or is_late:
                    why = f"the process ended with exit code {child.returncode}"
                    failure = why if has_ended else f"ended after {time.time() - began:.0f} s"
                    append_line(lines, PartEnd(name, round(time.time() - began, 2), failure))
                    return left[1:]
        finally:
            _end(child)
    return left


def _end(child: subprocess.Popen[bytes]) -> None:
    """A child with all its processes."""
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in psutil.Process(child.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
    if child.poll() is None:
        child.kill()
    child.wait()
