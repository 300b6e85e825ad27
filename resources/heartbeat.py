"""Signs of life of runs: a file per run, touched by the run's process every few seconds.

Works with every run launcher and executor. A row in a database would do no better: it cannot tell
a process that is gone from one that is busy, either.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from pathlib import Path

_EVERY_S = 5.0
_LOOK_AGAIN_S = 2.5 * _EVERY_S


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
        """End the thread; the file stays until its run is known to have ended."""
        self._stop.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._stop.wait(self._every_s):
            self._path.touch()


def silent_runs(
    root: str, started_s: Mapping[str, float], *, lost_after_s: float
) -> dict[str, float]:
    """Runs without a sign of life for too long; seconds since the last one, or since the start.

    A clock that was set forward, or a file server with another, makes every run look silent. So
    nobody is given up before a second look, a few beats later, has found no new sign either.

    Files of runs not asked for, which have ended one way or another, are removed.

    Args:
        root: The artefact folder.
        started_s: When each run that should be alive was started, seconds since 1970.
        lost_after_s: How long a silence is too long.
    """
    last_s = dict(started_s)
    folder = _folder(root)
    for path in folder.iterdir() if folder.is_dir() else ():
        try:
            beat_s = path.stat().st_mtime
        except FileNotFoundError:
            continue  # another look has just removed it
        if path.name in started_s:
            last_s[path.name] = max(beat_s, started_s[path.name])
        elif time.time() - beat_s > lost_after_s:
            path.unlink(missing_ok=True)
    silent_s = {run_id: time.time() - last for run_id, last in last_s.items()}
    suspects = {run_id: silence for run_id, silence in silent_s.items() if silence > lost_after_s}
    if suspects:
        before = {run_id: _beat_ns(folder / run_id) for run_id in suspects}
        time.sleep(min(_LOOK_AGAIN_S, lost_after_s))
        suspects = {r: s for r, s in suspects.items() if _beat_ns(folder / r) == before[r]}
    return suspects


def of_this_machine(root: str, started_s: Mapping[str, float]) -> dict[str, float]:
    """Those of the runs that gave a sign of life in this folder; others have a folder elsewhere."""
    folder = _folder(root)
    return {run_id: since for run_id, since in started_s.items() if (folder / run_id).exists()}


def _beat_ns(path: Path) -> int | None:
    """When a run was last heard of, by the clock of the file system; None if it never was."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def _folder(root: str) -> Path:
    return Path(root) / "heartbeats"
