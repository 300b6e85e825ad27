"""The published HoverFast, run from a checkout of it, on the same slide with the same weights.

Its code is not part of this project and not changed on disk. It always computes in half
precision, which CPUs emulate; ``fp32`` makes its calls of ``half`` do nothing, so that both
programs compute alike. That runner is the only thing that is ours.
"""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from hoverfast_platform.benchmark.composed_slide import ComposedSlide
from hoverfast_platform.benchmark.measured_process import run_measured
from hoverfast_platform.benchmark.whole_slide import SlideRun, bytes_below
from hoverfast_platform.errors import ComputeError, SettingsError
from hoverfast_platform.model.checkpoint import LoadedModel

_RUNNER = """
import argparse, os, sys, torch
checkout, precision, slide, out_dir, weights, mask_dir = sys.argv[1:]
sys.path.insert(0, checkout)
if precision == "fp32":
    torch.nn.Module.half = lambda self: self
    torch.Tensor.half = lambda self: self.float()
from hoverfast.utils_wsi import main_wsi
main_wsi(argparse.Namespace(
    slide_folder=[slide], outdir=out_dir, binmask_dir=mask_dir, magnification=40, batch_gpu=1,
    batch_mem=500, tile_size=1024, n_process=None, model_path=weights, poly_simplify=6,
    size_threshold=5, stain="he"))
"""
"""With the defaults of its command line; the command itself also imports what only training
needs, and does not start with current versions of that."""


def check_checkout(checkout: Path) -> str:
    """Its commit, or ``unknown``.

    Raises:
        SettingsError: If it is no checkout of choosehappy/HoverFast, or cannot be imported here.
    """
    if not (checkout / "hoverfast" / "utils_wsi.py").is_file():
        raise SettingsError(
            f"{checkout} is no checkout of the published HoverFast: hoverfast/utils_wsi.py is "
            "missing.",
            "git clone https://github.com/choosehappy/HoverFast",
        )
    code = "import sys; sys.path.insert(0, sys.argv[1]); import hoverfast.utils_wsi"
    tried = subprocess.run(
        [sys.executable, "-c", code, str(checkout)], capture_output=True, text=True, check=False
    )
    if tried.returncode != 0:
        raise SettingsError(
            f"{checkout} cannot be imported: {tried.stderr.strip().splitlines()[-1]}",
            "Install what it needs into this environment: pip install ujson.",
        )
    commit = subprocess.run(
        ["git", "-C", str(checkout), "rev-parse", "--short=10", "HEAD"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return commit.stdout.strip() or "unknown"


def save_published_format(path: Path, model: LoadedModel) -> None:
    """Write weights as the published program loads them."""
    torch.save(
        {
            "n_classes": 2, "in_channels": 3, "padding": True, "depth": model.card.depth,
            "wf": model.card.first_filters.bit_length() - 1, "up_mode": "upconv",
            "batch_norm": True, "conv_block": "msunet",
            "model_dict": model.network.state_dict(),
        },
        path,
    )  # fmt: skip


@dataclass(frozen=True)
class PublishedTool:
    """How the published program is run: its checkout, weights, and fp32 or fp16."""

    checkout: Path
    weights: Path
    precision: str


def run_published(
    slide: ComposedSlide, path: Path, tool: PublishedTool, mask_dir: Path, scratch_dir: Path
) -> SlideRun:
    """The published ``infer_wsi`` on one slide.

    Raises:
        ComputeError: If it fails, also where it only logs that it did.
    """
    out_dir = scratch_dir / "published"
    shutil.rmtree(out_dir, ignore_errors=True)
    command = [sys.executable, "-c", _RUNNER, str(tool.checkout), tool.precision]
    command += [str(path), str(out_dir), str(tool.weights), str(mask_dir)]
    log_path = scratch_dir / "published.log"
    cost = run_measured(command, log_path=log_path, env=os.environ)
    result = out_dir / f"{path.stem}.json.gz"
    text = gzip.decompress(result.read_bytes()).decode() if result.is_file() else ""
    if "running time:" not in log_path.read_text(errors="replace"):
        raise ComputeError(f"The published program failed on {path.name}.", f"See {log_path}.")
    run = SlideRun(
        slide=slide,
        program=f"published HoverFast, {tool.precision}",
        cost=cost,
        n_nuclei=text.count('"Feature"'),
        disk_bytes=bytes_below(out_dir),
        arithmetic=f"cpu torch {tool.precision}",
    )
    shutil.rmtree(out_dir)
    return run
