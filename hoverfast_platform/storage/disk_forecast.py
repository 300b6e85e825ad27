"""How long the disk lasts at the rate at which results have come lately."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from hoverfast_platform.errors import StorageError

_DAY_S = 86_400.0
_SHORTEST_S = 3_600.0
"""Shortest time of observation: a rate from seconds says nothing about days."""


@dataclass(frozen=True)
class DiskForecast:
    """What to expect of the disk that a folder lies on.

    Attributes:
        used_bytes: All files of the folder.
        n_files: How many they are.
        bytes_per_day: Written lately and still there.
        free_bytes: What ordinary users may still write.
        days_left: Until the disk is full at that rate; None if nothing was written lately.
    """

    used_bytes: int
    n_files: int
    bytes_per_day: float
    free_bytes: int
    days_left: float | None


def forecast_disk(
    folder: Path, *, window_days: float = 14.0, now: float | None = None
) -> DiskForecast:
    """Look at every file of a folder once.

    The rate is that of the last ``window_days``, or of the time since the folder's first file
    if it is younger. Files that go away while it looks are left out.

    Args:
        folder: Folder of the artefacts.
        window_days: How far back the rate reaches.
        now: Seconds since 1970; the clock's time if not given.

    Raises:
        StorageError: If there is no such folder.
    """
    if not folder.is_dir():
        raise StorageError(f"There is no folder {folder}.", "Give the folder of the artefacts.")
    now = time.time() if now is None else now
    since = now - window_days * _DAY_S
    used = recent = n_files = 0
    oldest = now
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                stat = (Path(parent) / name).lstat()
            except FileNotFoundError:
                continue
            n_files += 1
            used += stat.st_size
            oldest = min(oldest, stat.st_mtime)
            if stat.st_mtime >= since:
                recent += stat.st_size
    observed_s = max(_SHORTEST_S, now - max(oldest, since))
    per_day = recent / observed_s * _DAY_S
    free = shutil.disk_usage(folder).free
    return DiskForecast(used, n_files, per_day, free, free / per_day if per_day else None)
