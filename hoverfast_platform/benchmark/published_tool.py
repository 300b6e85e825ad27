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
import sys, torch
sys.path.insert(0, sys.argv.pop(1))
if sys.argv.pop(1) == "fp32":
    torch.nn.Module.half = lambda self: self
    torch.Tensor.half = lambda self: self.float()
from hoverfast.main import main
main()
"""


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
    tried = subprocess.run(
        [sys.executable, "-c", "import sys; sys.path.insert(0, sys.argv[1]); import hoverfast.main",
         str(checkout)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if tried.returncode != 0:
        raise SettingsError(
            f"{checkout} cannot be imported: {tried.stderr.strip().splitlines()[-1]}",
            "Install what it needs into this environment: ujson albumentations torchmetrics "
            "tensorboardX matplotlib.",
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
    command += ["infer_wsi", str(path), "-o", str(out_dir), "-m", str(tool.weights)]
    command += ["-b", str(mask_dir)]
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
