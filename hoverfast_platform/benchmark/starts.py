"""What comes before the first nucleus: processor time of fresh processes, and of a first tile."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from hoverfast_platform.arrays import RgbImage
from hoverfast_platform.benchmark.measured_process import run_measured
from hoverfast_platform.benchmark.steps import StepTime

_TILE_PX = 256
_N_FURTHER = 10

FIRST_TILE = f"first tile of {_TILE_PX} px, fresh process"
FURTHER_TILE = f"each further tile of {_TILE_PX} px"

_CLI = ("-m", "hoverfast_platform.cli.main")


def time_starts(
    tiles: Sequence[RgbImage], model: str, n_rounds: int, folder: Path
) -> list[StepTime]:
    """Processor time of fresh processes, in turn.

    Args:
        tiles: H&E at 0.25 um per pixel, of which squares of 256 px are segmented.
        model: Name or file; empty for the default model.
        n_rounds: How often each is run; one run more comes first and is not counted, since it may
            compile the loops of post-processing.
        folder: For what the processes write.

    Raises:
        ComputeError: If a process fails.
    """
    one, many = (_images(tiles, n, folder / f"tiles-{n}") for n in (1, 1 + _N_FURTHER))
    segment = [*_CLI, "infer_roi", "--mpp", "0.25", "-o", str(folder / "roi")]
    segment += ["-m", model] if model else []
    commands = {
        "start Python": ["-c", "pass"],
        "start Python, import hoverfast_platform": ["-c", "import hoverfast_platform"],
        "hoverfast --help": [*_CLI, "--help"],
        FIRST_TILE: [*segment, str(one)],
        FURTHER_TILE: [*segment, str(many)],
    }
    taken: dict[str, list[float]] = {name: [] for name in commands}
    _milliseconds(commands[FIRST_TILE], folder)
    for _ in range(n_rounds):
        for name, arguments in commands.items():
            taken[name].append(_milliseconds(arguments, folder))
    taken[FURTHER_TILE] = [
        (all_of_them - alone) / _N_FURTHER
        for alone, all_of_them in zip(taken[FIRST_TILE], taken[FURTHER_TILE], strict=True)
    ]
    return [StepTime(name, tuple(times), 0) for name, times in taken.items()]


def _milliseconds(arguments: Sequence[str], folder: Path) -> float:
    cost = run_measured([sys.executable, *arguments], log_path=folder / "start.log", env=os.environ)
    return cost.cpu_seconds * 1e3


def _images(tiles: Sequence[RgbImage], n: int, folder: Path) -> Path:
    """So many different squares of the tiles, as files."""
    folder.mkdir()
    for i in range(n):
        tile = tiles[i % len(tiles)]
        height, width = tile.shape[:2]
        y = (i // len(tiles) * 97) % max(1, height - _TILE_PX)
        x = (i // len(tiles) * 61) % max(1, width - _TILE_PX)
        Image.fromarray(tile[y : y + _TILE_PX, x : x + _TILE_PX]).save(folder / f"{i}.png")
    return folder
