"""What the parts of a GPU check share: device, tiles, slides, and how much time is left."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from hoverfast_platform.arrays import RgbImage
from hoverfast_platform.benchmark.composed_slide import read_tiles
from hoverfast_platform.benchmark.quick_slide import QuickSlide, write_quick_slide
from hoverfast_platform.config import Compute
from hoverfast_platform.inference.backends.torch_predictor import TorchPredictor
from hoverfast_platform.model.checkpoint import LoadedModel, load_model


@dataclass(frozen=True)
class CheckContext:
    """Everything a part needs.

    Attributes:
        device: As torch names it; ``cpu`` tries the check out where there is no GPU.
        model_name: Built-in name or file.
        tiles_dir: Images of tissue at 0.25 um/px.
        scratch: Folder that is removed afterwards.
        ends_at: When the part must be done, by ``time.time()``.
        areas_mm2: Areas of the slides, smallest first.
        hoverfast: Checkout of the published HoverFast.
        hovernet: Checkout of the published HoVer-Net.
    """

    device: str
    model_name: str
    tiles_dir: Path
    scratch: Path
    ends_at: float
    areas_mm2: tuple[float, ...]
    hoverfast: Path | None
    hovernet: Path | None

    @property
    def is_cuda(self) -> bool:
        return self.device.startswith("cuda")

    @property
    def left_s(self) -> float:
        """Seconds until the part is ended."""
        return self.ends_at - time.time()

    @property
    def middle_area_mm2(self) -> float:
        """The largest area but one: it tells ways apart and can be run often."""
        return self.areas_mm2[max(0, len(self.areas_mm2) - 2)]

    def until(self, ends_at: float) -> CheckContext:
        """The same for a part with an end of its own."""
        return replace(self, ends_at=ends_at)

    def model(self) -> LoadedModel:
        """Read once."""
        return _model(self.model_name)

    def tiles(self) -> list[RgbImage]:
        """Read once."""
        return _tiles(self.tiles_dir)

    def regions(self, n: int, side_px: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        """``(n, side, side, 3)`` of real tissue, tiles repeated where they are smaller."""
        tiles = self.tiles()
        whole = [
            np.tile(tile, (-(-side_px // tile.shape[0]), -(-side_px // tile.shape[1]), 1))
            for tile in tiles[: min(n, len(tiles))]
        ]
        cut = [tile[:side_px, :side_px] for tile in whole]
        return np.stack([cut[i % len(cut)] for i in range(n)])

    def slide(self, area_mm2: float) -> Path:
        """Written at first use."""
        path = self.scratch / f"slide-{area_mm2:g}.tiff"
        if not path.is_file():
            write_quick_slide(path, QuickSlide(area_mm2), self.tiles())
        return path

    def predictor(self, compute: Compute = Compute()) -> TorchPredictor:
        """The predictor of the model on the device; on a CPU torch computes, not OpenVINO."""
        return TorchPredictor(self.model(), compute, (self.device,))

    def synchronize(self) -> None:
        """Wait for the device."""
        if self.is_cuda:
            torch.cuda.synchronize(self.device)

    def seconds_of(self, call: object, n: int = 3) -> float:
        """Median wall clock of a call that leaves work on the device, after one to warm up."""
        assert callable(call)
        taken: list[float] = []
        for i in range(n + 1):
            self.synchronize()
            started = time.perf_counter()
            call()
            self.synchronize()
            if i:
                taken.append(time.perf_counter() - started)
        return sorted(taken)[len(taken) // 2]


@contextlib.contextmanager
def exact_fp32() -> Iterator[None]:
    """Compute convolutions and products without TF32, which has 10 bits instead of 23."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


@functools.cache
def _model(name: str) -> LoadedModel:
    return load_model(name)


@functools.cache
def _tiles(folder: Path) -> list[RgbImage]:
    return read_tiles(folder)
