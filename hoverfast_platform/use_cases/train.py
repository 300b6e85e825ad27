"""A training set to a student, as the command line of the published trainer names things."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from hoverfast_platform.errors import SettingsError
from hoverfast_platform.files import read_settings_file
from hoverfast_platform.inference.backends.devices import resolve_device
from hoverfast_platform.model.checkpoint import load_model
from hoverfast_platform.progress import OnProgress, ignore_progress
from hoverfast_platform.storage.patch_table import PatchTable
from hoverfast_platform.training.data import Guides, TrainingData
from hoverfast_platform.training.fit import TrainedStudent, fit
from hoverfast_platform.training.settings import TrainingSettings


@dataclass(frozen=True)
class TrainingRequest:
    """What a training is asked to do.

    Attributes:
        dataname: Name of the set: ``<dataname>_train.pytable`` and ``<dataname>_test.pytable``.
        outdir: Gets a folder of that name.
        dataset_path: Folder of the sets.
        also: Further sets to learn from.
        unlabelled: Sets without labels; the student learns what the teacher says of their images.
        teacher: Model whose maps are taught beside the labels, and alone where there are none.
        depth: Levels of the network; None takes the settings'.
        width: The network begins with ``2**width`` filters; None takes the settings'.
        epoch: Passes over the set's area, instead of a number of steps.
        parent: Model to start from; None for random weights.
        mpp: Micrometres per pixel, for sets of the published trainer, which do not state them.
        settings_file: JSON of training settings.
        device: Where to train.
        fields: Training settings by name; they win over the file's.
    """

    dataname: str
    outdir: Path
    dataset_path: Path = Path()
    also: tuple[str, ...] = ()
    unlabelled: tuple[str, ...] = ()
    teacher: str | None = None
    depth: int | None = None
    width: int | None = None
    epoch: float | None = None
    parent: str | None = None
    mpp: float | None = None
    settings_file: Path | None = None
    device: str = "auto"
    fields: dict[str, int | float] = field(default_factory=dict)


@dataclass(frozen=True)
class PreparedTraining:
    """A training that can begin: its sets are open and its settings are decided."""

    request: TrainingRequest
    data: TrainingData
    settings: TrainingSettings


def prepare_training(request: TrainingRequest) -> PreparedTraining:
    """Open the sets and decide the settings; what is wrong with the request is found here.

    Raises:
        SettingsError: If settings contradict each other, or a set lacks its scale.
        StorageError: If a set is missing or damaged.
    """
    training = tuple(
        PatchTable(_file(request, name, "train"), mpp=request.mpp)
        for name in (request.dataname, *request.also)
    )
    validation = PatchTable(_file(request, request.dataname, "test"), mpp=request.mpp)
    settings = _settings(request, training)
    unlabelled = tuple(
        PatchTable(_file(request, name, "train"), mpp=request.mpp) for name in request.unlabelled
    )
    return PreparedTraining(request, TrainingData(training, validation, unlabelled), settings)


def train(
    prepared: PreparedTraining, *, on_progress: OnProgress = ignore_progress
) -> TrainedStudent:
    """Train a student; an interrupted training goes on where it stopped.

    Raises:
        TrainingError: If the labels cannot teach, or the loss is not finite.
    """
    request = prepared.request
    return fit(
        prepared.data,
        prepared.settings,
        request.outdir / request.dataname,
        guides=Guides(
            parent=load_model(request.parent) if request.parent else None,
            teacher=load_model(request.teacher) if request.teacher else None,
        ),
        device=resolve_device(request.device),
        on_progress=on_progress,
    )


def _file(request: TrainingRequest, name: str, part: str) -> Path:
    """A set's file under the published trainer's name, ``<dataname>_train.pytable``."""
    return request.dataset_path / f"{name}_{part}.pytable"


def _settings(request: TrainingRequest, training: Sequence[PatchTable]) -> TrainingSettings:
    """The settings: defaults, then those of the file, then the options that were given."""
    file = request.settings_file
    of_file = (
        read_settings_file(file, TrainingSettings, what="settings of a training") if file else None
    )
    fields = of_file.model_dump(exclude_unset=True) if of_file else {}
    fields |= request.fields
    shape = {"depth": request.depth, "first_filters": request.width and 2**request.width}
    asked = {name: value for name, value in shape.items() if value is not None}
    if asked:
        fields["architecture"] = fields.get("architecture", {}) | asked
    try:
        settings = TrainingSettings.model_validate(fields)
    except ValidationError as error:
        raise SettingsError(
            f"These settings of a training cannot work: {error}",
            "`hoverfast train --help` says what the options take.",
        ) from error
    if request.epoch is None:
        return settings
    if "n_steps" in fields:
        raise SettingsError("Both epochs and steps were given; one decides how long it trains.")
    area_px = sum(int(table.sizes_px.prod(axis=1).sum()) for table in training)
    n_crops = request.epoch * area_px / settings.crop_px**2
    n_steps = max(1, math.ceil(n_crops / settings.batch_size))
    return settings.model_copy(update={"n_steps": n_steps})
