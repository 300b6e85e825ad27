"""Checking a GPU: does it find what the CPU finds, and how fast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hoverfast_platform.benchmark.gpu_check import GpuCheck, run_check
from hoverfast_platform.errors import SettingsError
from hoverfast_platform.model.registry import DEFAULT_MODEL


@dataclass(frozen=True)
class GpuCheckRequest:
    """A check of a GPU.

    Attributes:
        out_dir: Gets ``gpu-check.json``.
        tiles: Folder of images full of tissue at 0.25 um/px, each at least 512 px.
        budget_s: Seconds for everything; the most useful parts come first.
        parts: Names of the parts that are wanted; empty means all, in order of worth.
        device: As torch names it; ``cpu`` tries the check itself.
        model: Built-in name or file.
        areas: Areas of the slides in mm2, with commas, smallest first.
        hoverfast: Checkout of the published HoverFast, to be measured beside ours.
        hovernet: Checkout of the published HoVer-Net, to be measured beside ours.
    """

    out_dir: Path
    tiles: Path
    budget_s: float = 400
    parts: Sequence[str] = ()
    device: str = "cuda:0"
    model: str = DEFAULT_MODEL
    areas: str = "1,4,10,100"
    hoverfast: Path | None = None
    hovernet: Path | None = None


def check_gpu(request: GpuCheckRequest) -> str:
    """Run the parts that fit the budget, write ``gpu-check.json`` and return its table.

    Raises:
        SettingsError: If a part is asked for that does not exist.
    """
    from hoverfast_platform.benchmark.gpu_parts import PARTS

    limits = {part.name: part.limit_on(request.device) for part in PARTS}
    unknown = sorted(set(request.parts) - set(limits))
    if unknown:
        raise SettingsError(
            f"The check has no part called {', '.join(unknown)}.", f"Use {', '.join(limits)}."
        )
    return run_check(
        GpuCheck(
            out_dir=request.out_dir,
            budget_s=request.budget_s,
            parts=tuple((name, limits[name]) for name in request.parts or limits),
            device=request.device,
            model=request.model,
            tiles=request.tiles,
            areas=request.areas,
            hoverfast=request.hoverfast,
            hovernet=request.hovernet,
        )
    )
