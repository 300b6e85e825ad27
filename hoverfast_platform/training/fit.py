"""The training loop, top to bottom: from patch tables to the best student in a run folder."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Subset
from torch.utils.tensorboard import SummaryWriter

from hoverfast_platform.child_processes import starting_children
from hoverfast_platform.cores import available_cores
from hoverfast_platform.errors import TrainingError
from hoverfast_platform.evaluation.metrics import Scores
from hoverfast_platform.interruption import raise_if_interrupted
from hoverfast_platform.model.batch_norms import train_with_fixed_statistics
from hoverfast_platform.model.checkpoint import save_model
from hoverfast_platform.model.network import HoverFast
from hoverfast_platform.progress import OnProgress, Progress, ignore_progress
from hoverfast_platform.training.crops import Crop, Crops
from hoverfast_platform.training.data import Guides, TrainingData
from hoverfast_platform.training.optimisation import (
    MixedPrecision,
    learning_rate_at,
)
from hoverfast_platform.training.run_folder import (
    RunFolder,
    TrainingIdentity,
    Validation,
)
from hoverfast_platform.training.settings import TrainingSettings
from hoverfast_platform.training.statistics import retake_statistics
from hoverfast_platform.training.step import (
    StepTaken,
    TrainingState,
    fresh_state,
    note_losses,
    take_step,
    tutor_on,
    varied_example,
)
from hoverfast_platform.training.student_card import measured_card, student_card
from hoverfast_platform.training.validation import validate

_N_STATISTICS_PATCHES = 128


@dataclass(frozen=True)
class TrainedStudent:
    """Result of a training.

    Attributes:
        model_path: The averaged weights kept; the card lies beside it.
        validations: All of them, in order of step.
        kept: The one of the model.
        n_steps: Steps done; fewer than asked for after an early stop.
    """

    model_path: Path
    validations: tuple[Validation, ...]
    kept: Validation
    n_steps: int


def fit(
    data: TrainingData,
    settings: TrainingSettings,
    run_dir: Path,
    *,
    guides: Guides = Guides(),
    device: str = "cpu",
    on_progress: OnProgress = ignore_progress,
) -> TrainedStudent:
    """Train a student, or go on with a training that was interrupted.

    Every crop depends on the seed and its number alone, and all state is in the run folder:
    on a CPU a resumed training ends with the same weights, bit for bit, as one that was never
    interrupted (with the same number of threads).

    Args:
        data: Labelled patches and the fixed validation set.
        settings: How to train.
        run_dir: Folder of this training, see :mod:`.run_folder`; the student has its name.
        guides: Parent and teacher, if there are any.
        device: As torch names it.
        on_progress: Told after every step.

    Raises:
        TrainingError: If the data cannot teach anything, the folder belongs to another
            training, or the loss is not finite.
        StorageError: If the disk is full; the last checkpoint is kept.
    """
    parent, teacher = guides.parent, guides.teacher
    identity = TrainingIdentity(
        settings=settings.model_dump_json(exclude={"n_loaders"}),
        training_digests=tuple(table.digest for table in data.training),
        validation_digest=data.validation.digest,
        parent_digest=parent.digest if parent else "",
        unlabelled_digests=tuple(table.digest for table in data.unlabelled),
        teacher_digest=teacher.digest if teacher else "",
    )
    if data.unlabelled and teacher is None:
        raise TrainingError(
            "Unlabelled patches were given without a teacher, so nothing says what is on them.",
            "Give a teacher, or labels.",
        )
    folder = RunFolder(run_dir, identity)
    target = torch.device(device)
    if target.type == "cpu":
        torch.set_num_threads(available_cores())
    else:
        torch.backends.cudnn.benchmark = True  # crops are all of one size
    precision = MixedPrecision.of(target, settings)
    state = fresh_state(settings, parent, target, precision)
    tutor = tutor_on(target, teacher, settings, settings.student_mpp or data.validation.mpp)
    crops = Crops(data.training, settings, data.unlabelled)
    saved = folder.begin()
    if saved is not None:
        state.from_disk(saved)
    validations = folder.validations(up_to_step=state.step)
    card = student_card(run_dir.name, data, settings, guides).model_copy(
        update={"version": identity.digest()[:10]}
    )
    with SummaryWriter(str(run_dir), purge_step=state.step + 1) as board:
        started = time.monotonic()
        newest: StepTaken | None = None
        for batch in _batches(crops, settings, state.step, target):
            raise_if_interrupted()
            if _has_stopped_early(validations, settings):
                break
            _set_mode(state, data, settings)
            example = varied_example(batch, settings, state.step, tutor, precision)
            before, newest = newest, take_step(state, example, settings, precision)
            # One step late: a device that is asked at once waits for the next step to be prepared.
            note_losses(before, state, folder)
            on_progress(Progress("training", state.step, settings.n_steps, "steps"))
            if state.step % settings.validate_every == 0 or state.step == settings.n_steps:
                note_losses(newest, state, folder)
                newest = None
                seconds = time.monotonic() - started
                validation = _validate(state, data, settings, seconds)
                if settings.keep == "last" or validation.selection_score > _best_score(validations):
                    student = _averaged(state)
                    save_model(folder.student, student, measured_card(card, data, validation))
                validations.append(validation)
                folder.append(validation)
                _show(board, validation)
                folder.save_state(state.to_disk())
                started = time.monotonic()
    kept = (
        validations[-1]
        if settings.keep == "last"
        else max(validations, key=lambda v: v.selection_score)
    )
    return TrainedStudent(folder.student, tuple(validations), kept, state.step)


def _batches(
    crops: Crops, settings: TrainingSettings, first_step: int, device: torch.device
) -> Iterator[Crop]:
    """Batches from ``first_step`` on, prepared by other processes while the network works."""
    remaining = range(first_step * settings.batch_size, settings.n_steps * settings.batch_size)
    loader: DataLoader[Crop] = DataLoader(
        Subset(crops, remaining),
        batch_size=settings.batch_size,
        num_workers=settings.n_loaders,
        pin_memory=device.type == "cuda",
        prefetch_factor=4 if settings.n_loaders else None,
        # Forking a process whose torch threads run can hang.
        multiprocessing_context="spawn" if settings.n_loaders else None,
    )
    with starting_children():
        batches = iter(loader)
    for batch in batches:
        yield Crop(*(tensor.to(device, non_blocking=True) for tensor in batch))


@contextlib.contextmanager
def _shapes_vary() -> Iterator[None]:
    """Let cuDNN choose by rule: measuring what is fastest takes seconds for every new shape."""
    measures = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = measures


def _set_mode(state: TrainingState, data: TrainingData, settings: TrainingSettings) -> None:
    """Training mode for the next step; from ``frozen_statistics`` on with fixed statistics."""
    first_fixed = settings.n_steps - round(settings.frozen_statistics * settings.n_steps)
    if state.step < first_fixed:
        state.network.train()
        return
    if state.step == first_fixed:
        with _shapes_vary():
            retake_statistics(
                state.network,
                data.training,
                _N_STATISTICS_PATCHES,
                settings.appearance,
                settings.student_mpp,
            )
    train_with_fixed_statistics(state.network)


def _averaged(state: TrainingState) -> HoverFast:
    """The network with the moving average as its weights."""
    student = HoverFast(state.network.architecture)
    student.load_state_dict(state.average.weights)
    return student.to(next(state.network.parameters()).device)


def _validate(
    state: TrainingState, data: TrainingData, settings: TrainingSettings, seconds: float
) -> Validation:
    with _shapes_vary():
        scores = validate(
            _averaged(state),
            data.validation,
            settings.appearance,
            settings.statistics_share,
            mpp=settings.student_mpp,
        )
    losses = np.mean(state.losses, axis=0)
    state.losses.clear()
    mean = _mean_scores(scores)
    return Validation(
        state.step,
        seconds,
        learning_rate_at(state.step - 1, settings),
        *(float(term) for term in losses),
        **mean,
    )


def _mean_scores(scores: Sequence[Scores]) -> dict[str, float]:
    names = ("dice", "aji", "dq", "sq", "pq", "f1")
    return {name: float(np.mean([getattr(s, name) for s in scores])) for name in names}


def _best_score(validations: Sequence[Validation]) -> float:
    return max((v.selection_score for v in validations), default=-math.inf)


def _has_stopped_early(validations: Sequence[Validation], settings: TrainingSettings) -> bool:
    """Whether the last ``patience`` validations brought nothing."""
    if not settings.patience or len(validations) <= settings.patience:
        return False
    return _best_score(validations[: -settings.patience]) >= _best_score(
        validations[-settings.patience :]
    )


def _show(board: SummaryWriter, validation: Validation) -> None:
    for name in ("loss", "cross_entropy", "dice_loss", "hv", "hv_gradient", "learning_rate"):
        board.add_scalar(f"training/{name}", getattr(validation, name), validation.step)
    for name in ("dice", "aji", "dq", "sq", "pq", "f1"):
        board.add_scalar(f"validation/{name}", getattr(validation, name), validation.step)
    board.flush()
