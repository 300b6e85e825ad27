"""Many files in a watched folder, with the real webserver and daemon: how long until slides?

    python -m tests.scaling.arrivals --files 10000 --out arrivals.json

Files are real TIFF slides, but tiny, so what is measured is the platform: looks, digests, the
catalogue, partitions, Dagster. Only the sensor of new slides is on.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from tests.e2e.questions import events, runs, switch_on
from tests.e2e.running_platform import RunningPlatform

_PATIENCE_S = 900
_SETTLE_S = 5
_N_IDLE_TICKS = 4

_TICKS = """
{ sensorOrError(sensorSelector: {
    repositoryLocationName: "hoverfast", repositoryName: "__repository__", sensorName: "new_slides"
  }) { ... on Sensor { sensorState { ticks(limit: 500) {
    timestamp endTimestamp status skipReason
} } } } }"""

_TIMES = """
query($run: ID!) { runOrError(runId: $run) { ... on Run { startTime endTime } } }"""


def main() -> None:
    """Write figures as JSON, to a file and to the terminal."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--out", type=Path, default=Path("arrivals.json"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hoverfast-arrivals-") as folder:
        platform = RunningPlatform(
            Path(folder), HOVERFAST_SENSORS="off", HOVERFAST_SETTLE_S=str(_SETTLE_S)
        )
        write_slides(platform.slides, arguments.files)
        with platform.running():
            figures = _measure(platform, arguments.files)
    arguments.out.write_text(json.dumps(figures, indent=2))
    print(json.dumps(figures, indent=2))  # noqa: T201 - a command's output


def write_slides(folder: Path, n: int) -> None:
    """One image ``n`` times; bytes after its last tile make each another slide."""
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    first = folder / "slide-000000.tiff"
    scale = {"resolution": (1e4 / 0.25, 1e4 / 0.25), "resolutionunit": 3}
    tifffile.imwrite(first, pixels, photometric="rgb", tile=(32, 32), **scale)
    body = first.read_bytes()
    for i in range(1, n):
        (folder / f"slide-{i:06d}.tiff").write_bytes(body + i.to_bytes(4, "big"))


def _measure(platform: RunningPlatform, n: int) -> dict[str, Any]:
    load = os.getloadavg()[0]
    started = time.time()
    switch_on(platform, "new_slides")

    def is_registered() -> bool:
        inventory = events(platform, "slide_inventory")
        return bool(inventory) and inventory[0].metadata["slides"] == n

    platform.wait_for(is_registered, f"{n} slides", within_s=_PATIENCE_S)
    n_before = len(_ticks(platform))
    platform.wait_for(
        lambda: len(_ticks(platform)) > n_before + _N_IDLE_TICKS, "idle ticks", within_s=_PATIENCE_S
    )
    ticks = _ticks(platform)
    (run,) = runs(platform)
    times = platform.ask(_TIMES, run=run.run_id)["runOrError"]
    intake_s = times["endTime"] - times["startTime"]
    busy = ticks[:-_N_IDLE_TICKS]
    return {
        "files": n,
        "load_average_at_start": load,
        "seconds": {
            "from switching on to all registered": round(times["endTime"] - started, 1),
            "of these: ticks": [round(seconds, 2) for seconds in busy],
            "of these: the run that registers": round(intake_s, 1),
            "idle tick": [round(seconds, 2) for seconds in ticks[-_N_IDLE_TICKS:]],
        },
    }


def _ticks(platform: RunningPlatform) -> list[float]:
    """Seconds of the ticks that ended, oldest first."""
    found = platform.ask(_TICKS)["sensorOrError"]["sensorState"]["ticks"]
    ended = [tick for tick in found if tick["endTimestamp"] and tick["status"] != "STARTED"]
    for tick in ended:
        assert tick["status"] in ("SKIPPED", "SUCCESS"), tick
    return [tick["endTimestamp"] - tick["timestamp"] for tick in reversed(ended)]


if __name__ == "__main__":
    main()
