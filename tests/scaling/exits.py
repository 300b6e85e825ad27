"""What every exit takes for a million nuclei: processor seconds, memory, size of what is written.

    python -m tests.scaling.exits --result OUT/slide.parquet --out exits.json

The nuclei and the mask of a real result are repeated side by side until there are enough. Each
exit is the real command in a process of its own; figures are kept after each, so that an ended run
has those that were done.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import sys
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hoverfast_platform.benchmark.benchmark_report import machine
from hoverfast_platform.benchmark.measured_process import bytes_below, run_measured
from hoverfast_platform.errors import ComputeError
from hoverfast_platform.mask.mask_file import mask_record, read_mask, write_mask
from hoverfast_platform.nuclei.nucleus import Nuclei
from hoverfast_platform.provenance import MaskSource, Provenance
from hoverfast_platform.storage.exporters.table import EXPORTERS
from hoverfast_platform.storage.nuclei_table import (
    read_nuclei_table,
    read_table_metadata,
    write_nuclei_table,
)

_RUN = "from hoverfast_platform.cli.main import main; main()"


def main() -> None:
    """Write figures as JSON, to a file and to the terminal."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--result", type=Path, required=True, help="a slide's .parquet")
    parser.add_argument("--nuclei", type=int, default=1_000_000)
    parser.add_argument("--only", nargs="*", default=[], help="names of exits; else all")
    parser.add_argument("--folder", type=Path, help="where it works; else a temporary folder")
    parser.add_argument("--out", type=Path, default=Path("exits.json"))
    parser.add_argument("--timeout-s", type=float, default=1800)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hoverfast-exits-") as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        table = folder / "many.parquet"
        if not table.exists():
            write_many(arguments.result, arguments.nuclei, table)
        figures: dict[str, Any] = {"machine": machine(), "nuclei": arguments.nuclei, "exits": {}}
        for name, command, written in _exits(table):
            if arguments.only and name not in arguments.only:
                continue
            figures["exits"][name] = _cost(command, written, folder, arguments.timeout_s)
            arguments.out.write_text(json.dumps(figures, indent=2))
            print(name, json.dumps(figures["exits"][name]), flush=True)  # noqa: T201


def write_many(result: Path, n_wanted: int, table: Path) -> None:
    """A table of so many nuclei with its mask, of copies of a result side by side.

    Args:
        result: The ``.parquet`` of a slide, with its mask beside it.
        n_wanted: Rows of the new table.
        table: What is written; the mask lies beside it.
    """
    one = read_nuclei_table(result)
    made_from = Provenance.found_in(read_table_metadata(result), result.name)
    assert made_from is not None, "a result of a slide says what it was made from"
    mask = read_mask(result.with_suffix(".mask.png"))
    per_row = math.ceil(math.sqrt(n_wanted / len(one)))
    width, height = made_from.slide.width_px, made_from.slide.height_px
    many_mask = replace(
        mask,
        is_tissue=np.tile(mask.is_tissue, (per_row, per_row)),
        slide_width=width * per_row,
        slide_height=height * per_row,
        findings=None,
    )
    large = {"width_px": width * per_row, "height_px": height * per_row}
    provenance = made_from.model_copy(
        update={
            "slide": made_from.slide.model_copy(update=large),
            "mask": MaskSource(engine="builtin", sha256=many_mask.digest()),
        }
    )
    write_nuclei_table(
        table,
        _copies(one, n_wanted, per_row, (width, height)),
        list(one.measurements),
        metadata=provenance.model_dump(mode="json"),
        namespace=uuid.UUID(provenance.segmentation_id),
    )
    record = mask_record(many_mask, "", provenance.slide.sha256)
    write_mask(table.with_suffix(".mask.png"), many_mask, record)


def _copies(one: Nuclei, n_wanted: int, per_row: int, size_px: tuple[int, int]) -> Iterator[Nuclei]:
    n_tiles = int(one.tile_index.max()) + 1
    for i in range(math.ceil(n_wanted / len(one))):
        shift = np.array([i % per_row, i // per_row]) * size_px
        copy = replace(
            one,
            centroid_xy=one.centroid_xy + shift,
            vertices_xy=one.vertices_xy + shift,
            tile_index=one.tile_index + i * n_tiles,
        )
        yield copy.take(np.arange(min(len(one), n_wanted - i * len(one))))


def _exits(table: Path) -> Iterator[tuple[str, list[str], list[Path]]]:
    """Name, arguments of the command and what it writes."""
    many = str(table)
    yield (
        "neighbours",
        ["neighbours", many],
        [table.with_suffix(".neighbours.parquet")],
    )
    summary = table.with_name("slides.csv")
    yield "summarise", ["summarise", many, "--neighbours", "-o", str(summary)], [summary]
    for exporter in EXPORTERS:
        target = table.with_name(f"exit{exporter.extensions[0]}")
        yield exporter.name, ["convert", many, str(target)], [target]
    yield (
        "cells",
        ["cells", many],
        [table.with_suffix(".cells.json.gz"), table.with_suffix(".cells.parquet")],
    )


def _cost(
    command: list[str], written: list[Path], folder: Path, timeout_s: float
) -> dict[str, float | str]:
    log = folder / "exit.log"
    run = [sys.executable, "-c", _RUN, *command]
    try:
        cost = run_measured(run, log_path=log, env=os.environ, timeout_s=timeout_s)
    except ComputeError as error:
        return {"error": str(error)[-400:]}
    size = sum(bytes_below(p) if p.is_dir() else p.stat().st_size for p in written)
    for path in written:
        if "neighbours" not in path.name:  # the summary reads it
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()
    return {
        "cpu_s": round(cost.cpu_seconds, 1),
        "clock_s": round(cost.seconds, 1),
        "peak_mib": round(cost.peak_bytes / 2**20),
        "written_mb": round(size / 1e6, 1),
    }


if __name__ == "__main__":
    main()
