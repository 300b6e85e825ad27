"""The engine as its user runs it, on composed slides: one process per slide and round."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from hoverfast_platform.benchmark.composed_slide import ComposedSlide
from hoverfast_platform.benchmark.measured_process import (
    ProcessCost,
    bytes_below,
    run_measured,
)
from hoverfast_platform.storage.summary import SegmentationSummary


@dataclass(frozen=True)
class SlideRun:
    """One slide through one program.

    Attributes:
        slide: What it was run on.
        program: Which.
        cost: Cost of the whole process.
        n_nuclei: Found.
        disk_bytes: Size of the files it left.
        tissue_area_mm2: Looked at, as the engine's mask says; None where a program does not say.
        phases: Seconds summed over threads and processes; they overlap.
        arithmetic: Device, backend, precision.
    """

    slide: ComposedSlide
    program: str
    cost: ProcessCost
    n_nuclei: int
    disk_bytes: int
    tissue_area_mm2: float | None = None
    phases: tuple[tuple[str, float], ...] = ()
    arithmetic: str = ""


@dataclass(frozen=True)
class EngineOptions:
    """How the engine is called."""

    model: str = ""
    precision: str = "auto"
    device: str = "auto"
    mask_dir: Path | None = None


def run_engine(
    slide: ComposedSlide, path: Path, options: EngineOptions, scratch_dir: Path
) -> SlideRun:
    """``hoverfast infer_wsi`` on one slide, in a folder of its own that is removed again.

    Raises:
        ComputeError: If it fails.
    """
    out_dir = scratch_dir / "ours"
    shutil.rmtree(out_dir, ignore_errors=True)
    command = [sys.executable, "-m", "hoverfast_platform.cli.main", "infer_wsi", str(path)]
    command += ["-o", str(out_dir), "--precision", options.precision, "--device", options.device]
    if options.model:
        command += ["-m", options.model]
    if options.mask_dir is not None:
        command += ["-b", str(options.mask_dir)]
    out_dir.mkdir()
    cost = run_measured(
        command,
        log_path=scratch_dir / "ours.log",
        env={**os.environ, "TMPDIR": str(out_dir)},  # what it put there would count as disk
        watched_dir=out_dir,
    )
    summary = SegmentationSummary.read(out_dir / f"{path.stem}.summary.json")
    arithmetic = summary.provenance.arithmetic
    run = SlideRun(
        slide=slide,
        program=f"this engine, {arithmetic.precision}",
        cost=cost,
        n_nuclei=summary.n_nuclei,
        disk_bytes=bytes_below(out_dir),
        tissue_area_mm2=summary.tissue_area_mm2,
        phases=tuple(sorted(summary.seconds.items())),
        arithmetic=str(arithmetic),
    )
    shutil.rmtree(out_dir)
    return run
