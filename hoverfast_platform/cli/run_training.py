"""What ``hoverfast train`` does: options to settings, the training with its progress, the end."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
from tqdm import tqdm

from hoverfast_platform.errors import SettingsError
from hoverfast_platform.inference.predictors import resolve_device
from hoverfast_platform.model.checkpoint import load_model
from hoverfast_platform.progress import Progress
from hoverfast_platform.storage.patch_table import PatchTable
from hoverfast_platform.training.data import Guides, TrainingData
from hoverfast_platform.training.fit import TrainedStudent, fit
from hoverfast_platform.training.settings import TrainingSettings


@dataclass(frozen=True)
class TrainingRequest:
    """What the command line asks for; None where an option was not given."""

    dataname: str
    outdir: Path
    dataset_path: Path
    also: tuple[str, ...]
    depth: int | None
    width: int | None
    unlabelled: tuple[str, ...]
    teacher: str | None
    epoch: float | None
    parent: str | None
    mpp: float | None
    settings_file: Path | None
    device: str
    fields: dict[str, int | float]
    """Training settings given as options, by name."""


def train(request: TrainingRequest) -> None:
    """Train as asked and say how it went."""
    training = tuple(
        PatchTable(_file(request, name, "train"), mpp=request.mpp)
        for name in (request.dataname, *request.also)
    )
    validation = PatchTable(_file(request, request.dataname, "test"), mpp=request.mpp)
    settings = _settings(request, training)
    unlabelled = tuple(
        PatchTable(_file(request, name, "train"), mpp=request.mpp) for name in request.unlabelled
    )
    data = TrainingData(training, validation, unlabelled)
    guides = Guides(
        parent=load_model(request.parent) if request.parent else None,
        teacher=load_model(request.teacher) if request.teacher else None,
    )
    click.echo(
        f"{sum(len(table) for table in training)} patches with "
        f"{sum(int(table.n_nuclei.sum()) for table in training)} nuclei to learn from, "
        f"{len(validation)} with {int(validation.n_nuclei.sum())} to validate on, "
        f"{settings.n_steps} steps"
    )
    with tqdm(total=settings.n_steps, desc=request.dataname, unit="step") as bar:

        def show(progress: Progress) -> None:
            bar.update(progress.n_done - bar.n)

        student = fit(
            data,
            settings,
            request.outdir / request.dataname,
            guides=guides,
            device=resolve_device(request.device),
            on_progress=show,
        )
    _report(student)


def _file(request: TrainingRequest, name: str, part: str) -> Path:
    """The published trainer's names: ``<dataname>_train.pytable``."""
    return request.dataset_path / f"{name}_{part}.pytable"


def _settings(request: TrainingRequest, training: Sequence[PatchTable]) -> TrainingSettings:
    """Defaults, then the file, then the options that were given."""
    file = request.settings_file
    fields = json.loads(file.read_text(encoding="utf-8")) if file else {}
    fields |= request.fields
    shape = {"depth": request.depth, "first_filters": request.width and 2**request.width}
    asked = {name: value for name, value in shape.items() if value is not None}
    if asked:
        fields["architecture"] = fields.get("architecture", {}) | asked
    settings = TrainingSettings.model_validate(fields)
    if request.epoch is None:
        return settings
    if "n_steps" in fields:
        raise SettingsError("Both epochs and steps were given; one decides how long it trains.")
    area_px = sum(int(table.sizes_px.prod(axis=1).sum()) for table in training)
    n_crops = request.epoch * area_px / settings.crop_px**2
    n_steps = max(1, math.ceil(n_crops / settings.batch_size))
    return settings.model_copy(update={"n_steps": n_steps})


def _report(student: TrainedStudent) -> None:
    kept = student.kept
    click.echo(
        f"Student of step {kept.step} of {student.n_steps}: Dice {kept.dice:.3f}, "
        f"AJI {kept.aji:.3f}, PQ {kept.pq:.3f} on the validation set\n  {student.model_path}"
    )
