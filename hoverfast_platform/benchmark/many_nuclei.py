"""Files of a very large slide: written, validated and read back, with the memory that takes.

The nuclei of one region are repeated side by side, so that every polygon and id is another.
Run as a program, since the memory of a process that has done other things says nothing:
``python -m hoverfast_platform.benchmark.many_nuclei TABLE COUNT FOLDER``.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hoverfast_platform.benchmark.measured_process import run_measured
from hoverfast_platform.nuclei.nucleus import Nuclei
from hoverfast_platform.storage.geojson import write_geojson
from hoverfast_platform.storage.geojson_reading import GeoJsonFile
from hoverfast_platform.storage.nuclei_table import (
    iter_nuclei_table,
    read_nuclei_table,
    write_nuclei_table,
)
from hoverfast_platform.storage.qupath_validation import validate_qupath_file

_SPACING_PX = 2048
_TILES_PER_BLOCK = 8
_ID = uuid.UUID(int=0)


@dataclass(frozen=True)
class ManyNuclei:
    """What it took.

    Attributes:
        n_nuclei: Written and read back.
        cpu_seconds: Processor time by step.
        peak_bytes: Peak memory of the process that did it all.
    """

    n_nuclei: int
    cpu_seconds: tuple[tuple[str, float], ...]
    peak_bytes: int


def measure_many(nuclei: Nuclei, n_wanted: int, folder: Path) -> ManyNuclei:
    """Have a process of its own write, validate and read at least so many nuclei.

    Raises:
        ComputeError: If it fails.
    """
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        table, log_path = Path(scratch) / "region.parquet", Path(scratch) / "log"
        write_nuclei_table(table, [nuclei], list(nuclei.measurements), metadata={}, namespace=_ID)
        command = [sys.executable, "-m", __name__, str(table), str(n_wanted), scratch]
        cost = run_measured(command, log_path=log_path, env=os.environ)
        found = json.loads(log_path.read_text().splitlines()[-1])
    return ManyNuclei(found["n_nuclei"], tuple(found["cpu_seconds"].items()), cost.peak_bytes)


def many_table(found: ManyNuclei) -> str:
    """Markdown."""
    lines = [f"| {found.n_nuclei:,} nuclei, one core | CPU s |", "|---|---|"]
    lines += [f"| {name} | {seconds:.1f} |" for name, seconds in found.cpu_seconds]
    return "\n".join([*lines, f"\nPeak memory: {found.peak_bytes / 2**20:.0f} MiB"])


def repeated(nuclei: Nuclei, n_wanted: int) -> Iterator[Nuclei]:
    """Blocks of copies of a region's nuclei, each copy at a place of its own."""
    n_copies = math.ceil(n_wanted / len(nuclei))
    per_row = math.ceil(math.sqrt(n_copies))
    for first in range(0, n_copies, _TILES_PER_BLOCK):
        copies = range(first, min(first + _TILES_PER_BLOCK, n_copies))
        yield Nuclei.concatenate(
            [_moved(nuclei, np.array(divmod(i, per_row)) * _SPACING_PX) for i in copies]
        )


def _moved(nuclei: Nuclei, by_xy: np.ndarray[Any, Any]) -> Nuclei:
    return dataclasses.replace(
        nuclei,
        centroid_xy=nuclei.centroid_xy + by_xy,
        vertices_xy=nuclei.vertices_xy + by_xy,
    )


def _main(table: Path, n_wanted: int, folder: Path) -> None:
    nuclei = read_nuclei_table(table)
    geojson, parquet = folder / "many.json.gz", folder / "many.parquet"
    columns = list(nuclei.measurements)
    steps: dict[str, Callable[[], int]] = {
        "GeoJSON written": lambda: write_geojson(
            geojson, repeated(nuclei, n_wanted), provenance={}, namespace=_ID
        ),
        "Parquet written": lambda: write_nuclei_table(
            parquet, repeated(nuclei, n_wanted), columns, metadata={}, namespace=_ID
        ),
        "GeoJSON validated": lambda: validate_qupath_file(geojson).n_features,
        "GeoJSON read": lambda: sum(1 for _ in GeoJsonFile(geojson)),
        "Parquet read": lambda: sum(len(block) for block in iter_nuclei_table(parquet)),
    }
    cpu_seconds, counts = {}, set()
    for name, step in steps.items():
        started = time.process_time()
        counts.add(step())
        cpu_seconds[name] = time.process_time() - started
    (n,) = counts  # every step saw as many
    sys.stdout.write(json.dumps({"n_nuclei": n, "cpu_seconds": cpu_seconds}) + "\n")


if __name__ == "__main__":
    _main(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
