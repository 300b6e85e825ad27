"""Signs of life of runs: a file per run, touched by the run's process every few seconds.

Works with every run launcher and executor; a database row would not survive its process being
told from a busy one any better.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from pathlib import Path

_EVERY_S = 5.0


class Heartbeat:
    """Touches a file from a thread of its own until stopped."""

    def __init__(self, root: str, run_id: str, *, every_s: float = _EVERY_S) -> None:
        self._path = _folder(root) / run_id
        self._every_s = every_s
        self._stop = threading.Event()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.touch()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and take the file away: a run that ends well leaves no trace."""
        self._stop.set()
        self._thread.join()
        self._path.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._stop.wait(self._every_s):
            self._path.touch()


def lost_runs(root: str, run_ids: Iterable[str], *, lost_after_s: float) -> dict[str, float]:
    """Runs that once gave signs of life and stopped; seconds since the last one.

    Files of runs not asked for, which have ended one way or another, are removed.
    """
    running = set(run_ids)
    lost: dict[str, float] = {}
    folder = _folder(root)
    for path in folder.iterdir() if folder.is_dir() else ():
        try:
            silent_s = time.time() - path.stat().st_mtime
        except FileNotFoundError:
            continue  # the run has just ended
        if silent_s <= lost_after_s:
            continue
        if path.name in running:
            lost[path.name] = silent_s
        else:
            path.unlink(missing_ok=True)
    return lost


def _folder(root: str) -> Path:
    return Path(root) / "heartbeats"
