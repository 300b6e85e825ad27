"""A command run to its end, and what its whole process tree took."""

from __future__ import annotations

import contextlib
import stat
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from hoverfast_platform.errors import ComputeError

_SAMPLE_S = 0.1
_SAMPLING_SHARE = 0.03
"""Most of a core that looking may take: asking what a process of many GiB holds takes long."""


@dataclass(frozen=True)
class ProcessCost:
    """What a command took.

    Attributes:
        seconds: Wall clock, from start to end of the process.
        cpu_seconds: Processor time, user and system, of it and the children it waited for.
        peak_bytes: Largest memory of the tree at one moment, pages that processes share
            counted once (PSS where the system tells it, else RSS).
        peak_disk_bytes: Most that lay in the watched folder at one moment.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    peak_disk_bytes: int


def run_measured(
    command: Sequence[str],
    *,
    log_path: Path,
    env: Mapping[str, str],
    watched_dir: Path | None = None,
    timeout_s: float = 6 * 3600,
) -> ProcessCost:
    """Run a command and measure it; its output goes to a file.

    Args:
        command: Program and arguments.
        log_path: For its output.
        env: Its environment.
        watched_dir: Whose files count as disk it takes; it may not exist yet.
        timeout_s: When to end it.

    Raises:
        ComputeError: If it fails or does not end in time; the log's last lines are in it.
    """
    log_path.parent.mkdir(parents=True, exist_ok=True)
    before = psutil.Process().cpu_times()
    started = time.perf_counter()
    peak_bytes = peak_disk_bytes = 0
    with log_path.open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=dict(env))
        tree = psutil.Process(process.pid)
        try:
            while process.poll() is None:
                looked = time.perf_counter()
                peak_bytes = max(peak_bytes, _tree_bytes(tree))
                if watched_dir is not None:
                    peak_disk_bytes = max(peak_disk_bytes, bytes_below(watched_dir))
                if time.perf_counter() - started > timeout_s:
                    raise ComputeError(
                        f"{' '.join(command)} did not end within {timeout_s:.0f} s.",
                        f"Its output is in {log_path}.",
                    )
                looking = time.perf_counter() - looked
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(max(_SAMPLE_S, looking / _SAMPLING_SHARE))
        finally:
            if process.poll() is None:
                for child in tree.children(recursive=True):
                    child.kill()
                process.kill()
                process.wait()
    seconds = time.perf_counter() - started
    if process.returncode != 0:
        raise ComputeError(
            f"{' '.join(command)} ended with exit code {process.returncode}: "
            f"{last_lines(log_path)}",
            f"Its output is in {log_path}.",
        )
    if watched_dir is not None:  # what it wrote last, it wrote after the last look
        peak_disk_bytes = max(peak_disk_bytes, bytes_below(watched_dir))
    after = psutil.Process().cpu_times()
    cpu = (after.children_user + after.children_system) - (
        before.children_user + before.children_system
    )
    return ProcessCost(seconds, cpu, peak_bytes, peak_disk_bytes)


def last_lines(log_path: Path) -> str:
    """How a log ends."""
    return " / ".join(log_path.read_text(errors="replace").strip().splitlines()[-5:])


def bytes_below(folder: Path) -> int:
    """Bytes on disk of all files in a folder and its folders; files may vanish meanwhile."""
    total = 0
    for path in folder.rglob("*"):
        try:
            found = path.lstat()
        except FileNotFoundError:
            continue
        if stat.S_ISREG(found.st_mode):
            total += getattr(found, "st_blocks", -(-found.st_size // 512)) * 512
    return total


def _tree_bytes(root: psutil.Process) -> int:
    """Memory of a process and all below it, now."""
    total = 0
    try:
        processes = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for process in processes:
        try:
            info = process.memory_full_info()
            total += getattr(info, "pss", 0) or info.rss
        except (psutil.NoSuchProcess, psutil.AccessDenied):  # it ended meanwhile
            continue
    return total
