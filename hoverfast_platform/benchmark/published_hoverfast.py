"""The published HoverFast, run from a checkout of it, on the same slide with the same weights.

Its code is not part of this project and not changed on disk. It always computes in half
precision, which CPUs emulate; ``fp32`` makes its calls of ``half`` do nothing, so that both
programs compute alike. That runner is the only thing that is ours.
"""

from __future__ import annotations

import gzip
import importlib
import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hoverfast_platform.arrays import NetworkMaps
from hoverfast_platform.benchmark.checkout import check_checkout
from hoverfast_platform.benchmark.composed_slide import ComposedSlide
from hoverfast_platform.benchmark.measured_process import bytes_below, last_lines, run_measured
from hoverfast_platform.benchmark.whole_slide import SlideRun
from hoverfast_platform.errors import ComputeError, SettingsError
from hoverfast_platform.model.architecture import Architecture
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


def check_hoverfast(checkout: Path) -> str:
    """Its commit, or ``unknown``.

    Raises:
        SettingsError: If it is not a checkout of choosehappy/HoverFast, or cannot be imported here.
    """
    return check_checkout(
        checkout,
        holds="hoverfast/utils_wsi.py",
        url="https://github.com/choosehappy/HoverFast",
        importing="import sys; sys.path.insert(0, sys.argv[1]); import hoverfast.utils_wsi",
        needs="ujson",
    )


def save_published_format(path: Path, model: LoadedModel) -> None:
    """Write weights as the published program loads them.

    Raises:
        SettingsError: If its network cannot be built that way.
    """
    architecture = model.card.architecture
    published = Architecture(depth=architecture.depth, first_filters=architecture.first_filters)
    if architecture != published:
        raise SettingsError(
            f"{model.card.name} has an architecture ({architecture}) that the published HoverFast "
            "does not know.",
            "Compare a model with 3x3 and 7x7 kernels, such as cross-organ.",
        )
    torch.save(
        {
            "n_classes": 2, "in_channels": 3, "padding": True, "depth": architecture.depth,
            "wf": architecture.first_filters.bit_length() - 1, "up_mode": "upconv",
            "batch_norm": True, "conv_block": "msunet",
            "model_dict": model.network.state_dict(),
        },
        path,
    )  # fmt: skip


@dataclass(frozen=True)
class PublishedHoverFast:
    """How it is run: its checkout, weights, and fp32 or fp16."""

    checkout: Path
    weights: Path
    precision: str

    def run(self, slide: ComposedSlide, path: Path, mask_dir: Path, scratch_dir: Path) -> SlideRun:
        """Its ``infer_wsi`` on one slide.

        Raises:
            ComputeError: If it fails, also where it only logs that it did.
        """
        out_dir = scratch_dir / "published"
        shutil.rmtree(out_dir, ignore_errors=True)
        command = [sys.executable, "-c", _RUNNER, str(self.checkout), self.precision]
        command += [str(path), str(out_dir), str(self.weights), str(mask_dir)]
        log_path = scratch_dir / "published.log"
        cost = run_measured(command, log_path=log_path, env=os.environ, watched_dir=out_dir)
        result = out_dir / f"{path.stem}.json.gz"
        text = gzip.decompress(result.read_bytes()).decode() if result.is_file() else ""
        slide_seconds = re.search(r"running time: ([\d.]+)", log_path.read_text(errors="replace"))
        if slide_seconds is None:
            raise ComputeError(
                f"The published HoverFast failed on {path.name}: {last_lines(log_path)}",
                "It ends well also where a slide failed.",
            )
        run = SlideRun(
            slide=slide,
            program=f"published HoverFast, {self.precision}",
            cost=cost,
            n_nuclei=text.count('"Feature"'),
            disk_bytes=bytes_below(out_dir),
            phases=(("total", float(slide_seconds[1])),),
            arithmetic=f"{'cuda' if torch.cuda.is_available() else 'cpu'} torch {self.precision}",
        )
        shutil.rmtree(out_dir)
        return run


class _Features:
    """Where the published code puts its features; they are kept only if asked for."""

    def __init__(self, kept: list[dict[str, Any]] | None) -> None:
        self._kept = kept

    def put(self, text: str) -> None:
        if self._kept is not None:
            self._kept += json.loads(f"[{text}]")


def published_post_processing(
    checkout: Path,
    mpp: float,
    region_px: int,
    *,
    simplification: float = 6,
    kept: list[dict[str, Any]] | None = None,
) -> Callable[[NetworkMaps], int]:
    """The published function, which returns its count.

    Args:
        checkout: Where it is.
        mpp: Micrometres per pixel of the maps.
        region_px: Their larger side.
        simplification: Simplification of outlines; its command line's default.
        kept: Gets the features.
    """
    sys.path.insert(0, str(checkout))
    try:
        module = importlib.import_module("hoverfast.utils_wsi")
    finally:
        sys.path.remove(str(checkout))
    slide_data = {
        "threshold": 5 / mpp**2,  # its command line's default, square micrometres
        "downfactor": 1.0,
        "poly_simplification": simplification,
        "region_size": region_px,
        "stride": 0,
    }
    origin = np.array([0, 0])

    def run(maps: NetworkMaps) -> int:
        foreground, hv_maps = maps[0] > 0.5, maps[1:].astype(np.float32)
        found: int = module.post_processing(
            [(foreground, hv_maps, origin)], slide_data, _Features(kept)
        )
        return found

    return run
