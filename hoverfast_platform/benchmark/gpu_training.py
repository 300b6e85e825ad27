"""Part of a GPU check: training steps per second, and whether a resumed training is the same."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hoverfast_platform.benchmark.gpu_context import CheckContext
from hoverfast_platform.benchmark.gpu_record import Figure
from hoverfast_platform.config import Compute, InstanceDecoding
from hoverfast_platform.cores import available_cores
from hoverfast_platform.errors import Interrupted
from hoverfast_platform.hv.decode import split_foreground
from hoverfast_platform.inference.backends.torch_predictor import TorchPredictor
from hoverfast_platform.model.checkpoint import load_model
from hoverfast_platform.progress import Progress
from hoverfast_platform.storage.patch_table import (
    LabelProvenance,
    Patch,
    PatchTable,
    split_into_pieces,
)
from hoverfast_platform.storage.patch_table_writer import PatchTableWriter
from hoverfast_platform.training.data import TrainingData
from hoverfast_platform.training.fit import fit
from hoverfast_platform.training.settings import TrainingSettings

_PART = "training"
_PATCH_PX = 512


def check_training(context: CheckContext) -> Iterator[Figure]:
    """Steps per second of whole trainings, on labels the student itself made."""
    tables = [_table(context, name) for name in ("training", "validation")]
    data = TrainingData((PatchTable(tables[0]),), PatchTable(tables[1]))
    n_steps = 80 if context.is_cuda else 6
    loaders = min(8, available_cores() - 1)
    for name, device, n_loaders, steps in (
        (f"{context.device}, {loaders} loaders", context.device, loaders, n_steps),
        (f"{context.device}, no loaders", context.device, 0, n_steps // 2),
        ("cpu, 4 loaders", "cpu", 4, 6),
    ):
        if n_loaders and context.left_s < 10:
            return
        rate, first_s = _rate(context, data, device, n_loaders, steps)
        yield Figure(
            _PART, f"{name}: steps a second", rate, "/s",
            f"first step after {first_s:.1f} s",
        )  # fmt: skip
    yield from _resumed(context, data)


def _rate(
    context: CheckContext, data: TrainingData, device: str, n_loaders: int, n_steps: int
) -> tuple[float, float]:
    """Over the second half of the steps, before the validation at the end."""
    at: list[float] = []
    started = time.perf_counter()

    def on_progress(progress: Progress) -> None:
        context.synchronize()
        at.append(time.perf_counter())

    settings = TrainingSettings(
        n_steps=n_steps,
        n_loaders=n_loaders,
        frozen_statistics=0.0,
        crop_px=256 if context.is_cuda else 64,
        batch_size=16 if context.is_cuda else 2,
    )
    folder = context.scratch / f"fit-{device.replace(':', '')}-{n_loaders}"
    fit(data, settings, folder, device=device, on_progress=on_progress)
    half = len(at) // 2
    return (len(at) - 1 - half) / (at[-1] - at[half]), at[0] - started


def _resumed(context: CheckContext, data: TrainingData) -> Iterator[Figure]:
    """Ended at step 5 of 8, gone on from step 4, against one that ran through."""
    settings = TrainingSettings(
        n_steps=8, validate_every=4, batch_size=4, n_loaders=0, keep="last", crop_px=128
    )

    def interrupt(progress: Progress) -> None:
        if progress.n_done == 5:
            raise Interrupted("The check ended it.", "It goes on by itself.")

    whole = fit(data, settings, context.scratch / "whole", device=context.device)
    with contextlib.suppress(Interrupted):
        fit(
            data,
            settings,
            context.scratch / "resumed",
            device=context.device,
            on_progress=interrupt,
        )
    resumed = fit(data, settings, context.scratch / "resumed", device=context.device)
    one, other = (load_model(done.model_path).network.state_dict() for done in (whole, resumed))
    gap = max(float((one[name].float() - other[name].float()).abs().max()) for name in one)
    yield Figure(_PART, "resumed against uninterrupted: largest gap of the weights", gap)


def _table(context: CheckContext, name: str) -> Path:
    """Patches labelled by the student on the device; two tables share no source."""
    path = context.scratch / f"{name}.pytable"
    regions = context.regions(8 if context.is_cuda else 2, _PATCH_PX)
    if name == "validation":
        regions = np.ascontiguousarray(regions[:2, ::-1])
    predictor: TorchPredictor = context.predictor(Compute(precision="fp32"))
    provenance = LabelProvenance(teacher="the student itself")
    with PatchTableWriter(path, mpp=0.25, patch_px=_PATCH_PX, provenance=provenance) as writer:
        for i, region in enumerate(regions):
            maps = predictor.predict(region[None])[0]
            instances = split_into_pieces(split_foreground(maps[0], maps[1], InstanceDecoding()))
            writer.append(Patch(region, instances, f"{name}-{i}", f"{name}-{i}"))
    return path
