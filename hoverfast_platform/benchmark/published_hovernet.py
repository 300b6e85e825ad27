"""The published HoVer-Net, run from a checkout of it on the same slide and mask.

It is written for CUDA and for the packages of 2020. The runner changes, in memory only: tensors
and networks asked onto ``cuda`` go to the CPU where there is no GPU; slides that do not state an
objective power have 40; ``imgaug``, which only training uses and which current numpy breaks, is
not imported; shapes of cache files are plain numbers, since current numpy cannot read others
again. Its tiling, network, cache files and post-processing are as they are. It may use as many
loading and post-processing processes as there are cores (its defaults, 8 and 16, are slower on
few).

Weights cannot be shared between the two networks. Without a published checkpoint it gets random
weights that find no nuclei: its network costs the same whatever the weights, and its
post-processing then costs next to nothing, so that the ratio is the least it can be.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from hoverfast_platform.benchmark.checkout import check_checkout
from hoverfast_platform.benchmark.composed_slide import ComposedSlide
from hoverfast_platform.benchmark.measured_process import bytes_below, last_lines, run_measured
from hoverfast_platform.benchmark.whole_slide import SlideRun
from hoverfast_platform.cores import available_cores
from hoverfast_platform.errors import ComputeError
from hoverfast_platform.teachers.hovernet.network import HoverNet

_PREPARE = """
import pathlib, sys, tempfile
stubs = tempfile.TemporaryDirectory()
pathlib.Path(stubs.name, "imgaug.py").write_text("imgaug = None")
sys.path[:0] = [sys.argv[1], stubs.name]  # its child processes get this path too
from infer.wsi import InferManager
import models.hovernet.post_proc
"""

_RUNNER = (
    _PREPARE
    + """
import logging, numpy as np, openslide, torch
_, slides, out_dir, cache, weights, masks, n = sys.argv[1:]
logging.basicConfig(level=logging.INFO, force=True)
def on_cpu(original):
    return lambda self, *a, **k: original(self, *("cpu" if x == "cuda" else x for x in a), **k)
if not torch.cuda.is_available():
    torch.Tensor.to, torch.nn.Module.to = on_cpu(torch.Tensor.to), on_cpu(torch.nn.Module.to)
open_memmap = np.lib.format.open_memmap
def with_plain_shape(*a, shape=None, **k):
    return open_memmap(*a, shape=shape and tuple(map(int, shape)), **k)
np.lib.format.open_memmap = with_plain_shape
class Slide(openslide.OpenSlide):
    @property
    def properties(self):
        return {openslide.PROPERTY_NAME_OBJECTIVE_POWER: "40", **super().properties}
openslide.OpenSlide = Slide
manager = InferManager(
    method={"model_args": {"nr_types": None, "mode": "fast"}, "model_path": weights},
    type_info_path=None)
manager.process_wsi_list({
    "batch_size": 32, "nr_inference_workers": int(n), "nr_post_proc_workers": int(n),
    "patch_input_shape": 256, "patch_output_shape": 164, "input_dir": slides,
    "output_dir": out_dir, "input_mask_dir": masks, "cache_path": cache, "proc_mag": 40,
    "ambiguous_size": 128, "chunk_shape": 10000, "tile_shape": 2048, "save_thumb": False,
    "save_mask": False})
"""
)
"""What its ``run_infer.py wsi`` calls, with the defaults of its command line."""

_PHASES = {"network": "Inference Time", "post-process": "Total Post Proc Time"}


def check_hovernet(checkout: Path) -> str:
    """Its commit, or ``unknown``.

    Raises:
        SettingsError: If it is not a checkout of vqdang/hover_net, or cannot be imported here.
    """
    return check_checkout(
        checkout,
        holds="infer/wsi.py",
        url="https://github.com/vqdang/hover_net",
        importing=_PREPARE,
        needs="docopt matplotlib termcolor",
    )


def save_without_nuclei(path: Path) -> None:
    """A checkpoint in its format, fast mode: random weights, foreground nowhere."""
    torch.manual_seed(0)
    network = HoverNet("fast")
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(layer.weight)  # values neither vanish nor grow
    weights = network.state_dict()
    weights["decoder.np.u0.conv.weight"] = torch.zeros_like(weights["decoder.np.u0.conv.weight"])
    weights["decoder.np.u0.conv.bias"] = torch.tensor([4.0, -4.0])
    weights["upsample2x.unpool_mat"] = torch.ones(2, 2)
    torch.save({"desc": weights}, path)


@dataclass(frozen=True)
class PublishedHoverNet:
    """How it is run: its checkout and weights."""

    checkout: Path
    weights: Path

    def run(self, slide: ComposedSlide, path: Path, mask_dir: Path, scratch_dir: Path) -> SlideRun:
        """Its whole slide mode on one slide.

        Raises:
            ComputeError: If it fails, also where it only logs that it did.
        """
        folder = scratch_dir / "hovernet"
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "slides").mkdir(parents=True)
        (folder / "slides" / path.name).symlink_to(path.resolve())
        arguments = [self.checkout, folder / "slides", folder / "out", folder / "cache"]
        arguments += [self.weights, mask_dir]
        command = [sys.executable, "-c", _RUNNER, *map(str, arguments), str(available_cores())]
        log_path = scratch_dir / "hovernet.log"
        cost = run_measured(command, log_path=log_path, env=os.environ, watched_dir=folder)
        log = log_path.read_text(errors="replace")
        result = folder / "out" / f"{path.stem}.json"
        if not result.is_file():
            raise ComputeError(
                f"The published HoVer-Net failed on {path.name}: {last_lines(log_path)}",
                "It logs what went wrong, but not in its child processes.",
            )
        run = SlideRun(
            slide=slide,
            program="published HoVer-Net, fp32",
            cost=cost,
            n_nuclei=len(json.loads(result.read_text())["nuc"]),
            disk_bytes=bytes_below(folder / "out"),
            phases=tuple(
                (name, float(found[1]))
                for name, text in _PHASES.items()
                if (found := re.search(rf"{text}: ([\d.]+)", log))
            ),
            arithmetic=f"{'cuda' if torch.cuda.is_available() else 'cpu'} torch fp32",
        )
        shutil.rmtree(folder)
        return run
