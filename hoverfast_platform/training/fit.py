"""The training loop, top to bottom: from patch tables to the best student in a run folder."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Subset
from torch.utils.tensorboard import SummaryWriter

from hoverfast_platform.cores import available_cores
from hoverfast_platform.errors import TrainingError
from hoverfast_platform.evaluation.metrics import Scores
from hoverfast_platform.model.card import LabelSource, Metrics, ModelCard
from hoverfast_platform.model.checkpoint import LoadedModel, save_model
from hoverfast_platform.model.network import HoverFast
from hoverfast_platform.progress import OnProgress, Progress, ignore_progress
from hoverfast_platform.storage.patch_table import PatchTable
from hoverfast_platform.training.crops import MARGIN_PX, Crop, Crops
from hoverfast_platform.training.losses import student_losses
from hoverfast_platform.training.optimisation import (
    MixedPrecision,
    MovingAverage,
    learning_rate_at,
    make_optimiser,
)
from hoverfast_platform.training.run_folder import (
    Example,
    RunFolder,
    TrainingIdentity,
    Validation,
)
from hoverfast_platform.training.settings import TrainingSettings
from hoverfast_platform.training.statistics import (
    retake_statistics,
    train_with_fixed_statistics,
)
from hoverfast_platform.training.targets import Targets, blended, targets_of
from hoverfast_platform.training.validation import validate
from hoverfast_platform.training.variation import Chance, vary_capture, vary_tissue
from hoverfast_platform.version import __version__

_N_STATISTICS_PATCHES = 128


@dataclass(frozen=True)
class TrainingData:
    """What a student learns from and is validated on.

    Raises:
        TrainingError: If a source or group is on both sides, or mpp differ.
    """

    training: tuple[PatchTable, ...]
    validation: PatchTable
    unlabelled: tuple[PatchTable, ...] = ()
    """Patches that a teacher alone says something about; what labels they have is not used."""

    @property
    def labels(self) -> tuple[LabelSource, ...]:
        return tuple(label for table in self.training for label in table.provenance.labels)

    def __post_init__(self) -> None:
        tables = (*self.training, *self.unlabelled)
        trained = {g for table in tables for g in (*table.groups, *table.sources)}
        shared = trained & {*self.validation.groups, *self.validation.sources}
        if shared:
            raise TrainingError(
                f"{len(shared)} groups are in training and validation: {sorted(shared)[:5]}.",
                "Split by patient, or by slide where patients are not known.",
            )
        if any(table.mpp != self.validation.mpp for table in tables):
            raise TrainingError("Training and validation sets differ in mpp.")
        if int(self.validation.n_nuclei.sum()) == 0:
            raise TrainingError(
                "The validation set has no nuclei, so no student could be judged on it."
            )


@dataclass(frozen=True)
class Guides:
    """Models that a training starts from or listens to.

    Attributes:
        parent: Its weights are the first ones; without it they are random.
        teacher: Its maps are taught beside the labels, and alone where there are none. It sees
            every crop before colours, focus and noise are varied.
    """

    parent: LoadedModel | None = None
    teacher: LoadedModel | None = None


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


@dataclass
class _State:
    """What changes during training."""

    network: HoverFast
    average: MovingAverage
    optimiser: torch.optim.AdamW
    scaler: torch.amp.GradScaler
    step: int = 0
    losses: list[list[float]] = field(default_factory=list)

    def to_disk(self) -> dict[str, Any]:
        return {
            "network": self.network.state_dict(),
            "average": self.average.weights,
            "optimiser": self.optimiser.state_dict(),
            "scaler": self.scaler.state_dict(),
            "step": self.step,
        }

    def from_disk(self, saved: dict[str, Any]) -> None:
        self.network.load_state_dict(saved["network"])
        self.average.load(saved["average"])
        self.optimiser.load_state_dict(saved["optimiser"])
        self.scaler.load_state_dict(saved["scaler"])
        self.step = saved["step"]


class _Taken(NamedTuple):
    """A step that was taken: its number, what was shown, and its losses ``(5,)`` on the device."""

    step: int
    example: Example
    losses: Tensor


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
    state = _fresh_state(settings, parent, target, precision)
    tutor = _tutor_on(target, teacher, settings)
    crops = Crops(data.training, settings, data.unlabelled)
    saved = folder.begin()
    if saved is not None:
        state.from_disk(saved)
    validations = folder.validations(up_to_step=state.step)
    card = _card(run_dir.name, data, settings, guides).model_copy(
        update={"version": identity.digest()[:10]}
    )
    with SummaryWriter(str(run_dir), purge_step=state.step + 1) as board:
        started = time.monotonic()
        newest: _Taken | None = None
        for batch in _batches(crops, settings, state.step, target):
            if _has_stopped_early(validations, settings):
                break
            _set_mode(state, data, settings)
            example = _varied(batch, settings, state.step, tutor, precision)
            before, newest = newest, _step(state, example, settings, precision)
            # One step late: a device that is asked at once waits for the next step to be prepared.
            _note(before, state, folder)
            on_progress(Progress("training", state.step, settings.n_steps, "steps"))
            if state.step % settings.validate_every == 0 or state.step == settings.n_steps:
                _note(newest, state, folder)
                newest = None
                seconds = time.monotonic() - started
                validation = _validate(state, data, settings, seconds)
                if settings.keep == "last" or validation.selection_score > _best_score(validations):
                    student = _averaged(state)
                    save_model(folder.student, student, _measured(card, data, validation))
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


def _fresh_state(
    settings: TrainingSettings,
    parent: LoadedModel | None,
    device: torch.device,
    precision: MixedPrecision,
) -> _State:
    torch.manual_seed(settings.seed)
    network = HoverFast(settings.architecture)
    if parent is not None:
        if parent.network.architecture != settings.architecture:
            raise TrainingError(
                f"{parent.path} has another architecture ({parent.network.architecture}) than the "
                f"student that was asked for ({settings.architecture}).",
                "Give the parent's architecture in the settings, or no parent.",
            )
        network.load_state_dict(parent.network.state_dict())
    # The stubs do not know this keyword.
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return _State(
        network=network,
        average=MovingAverage(network, settings.ema_decay),
        optimiser=make_optimiser(network, settings),
        scaler=torch.amp.GradScaler(device.type, enabled=precision.scales_gradients),
    )


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
    for batch in loader:
        yield Crop(*(tensor.to(device, non_blocking=True) for tensor in batch))


def _tutor_on(
    device: torch.device, teacher: LoadedModel | None, settings: TrainingSettings
) -> HoverFast | None:
    """The teacher's network on a device.

    Raises:
        TrainingError: If it works at another scale or knows images of another appearance.
    """
    if teacher is None:
        return None
    if teacher.card.appearance != settings.appearance:
        raise TrainingError(
            f"{teacher.path} knows images of another appearance ({teacher.card.appearance}) than "
            f"the student is to know ({settings.appearance}).",
            "Give the student the teacher's appearance in the settings.",
        )
    if settings.student_mpp is not None and teacher.card.mpp != settings.student_mpp:
        raise TrainingError(
            f"{teacher.path} works at {teacher.card.mpp} um per pixel, the student is to work at "
            f"{settings.student_mpp}.",
            "Train a teacher at the student's scale.",
        )
    network = HoverFast(teacher.network.architecture)
    network.load_state_dict(teacher.network.state_dict())
    # The stubs do not know this keyword.
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    frozen: HoverFast = network.eval().requires_grad_(requires_grad=False)
    return frozen


def _varied(
    batch: Crop,
    settings: TrainingSettings,
    step: int,
    tutor: HoverFast | None,
    precision: MixedPrecision,
) -> Example:
    """What the network is shown in a step and what it should say."""
    chance = Chance.of(settings.seed, step, batch.image.device)
    with torch.no_grad():
        image, instance_map = vary_tissue(
            batch.image.float(), batch.instance_map.long(), settings.augmentation, chance
        )
        targets = targets_of(instance_map)
        if tutor is not None:
            with precision.autocast():
                logits, hv_maps = tutor(_channels_last(image / 255.0))
            probability = (logits[:, 1] - logits[:, 0]).float().sigmoid()
            share = torch.where(batch.is_labelled, settings.teacher_share, 1.0)
            targets = blended(targets, Targets(probability, hv_maps.float()), share)
        image = vary_capture(image, settings.augmentation, chance)
    return Example(
        _without_margin(image),
        Targets(_without_margin(targets.foreground), _without_margin(targets.hv_maps)),
    )


def _without_margin(array: Tensor) -> Tensor:
    return array[..., MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX]


def _channels_last(image: Tensor) -> Tensor:
    return image.contiguous(memory_format=torch.channels_last)


def _step(
    state: _State,
    example: Example,
    settings: TrainingSettings,
    precision: MixedPrecision,
) -> _Taken:
    """One optimiser step."""
    for group in state.optimiser.param_groups:
        group["lr"] = learning_rate_at(state.step, settings)
    with precision.autocast():
        logits, hv_maps = state.network(_channels_last(example.image / 255.0))
    losses = student_losses(logits.float(), hv_maps.float(), example.targets, settings)
    state.optimiser.zero_grad(set_to_none=True)
    state.scaler.scale(losses.total).backward()  # type: ignore[no-untyped-call]
    state.scaler.unscale_(state.optimiser)
    torch.nn.utils.clip_grad_norm_(state.network.parameters(), settings.gradient_clip)
    state.scaler.step(state.optimiser)
    state.scaler.update()
    state.step += 1
    state.average.update(state.network, state.step)
    return _Taken(state.step - 1, example, torch.stack([term.detach() for term in losses]))


def _note(taken: _Taken | None, state: _State, folder: RunFolder) -> None:
    """Keep a step's losses for the next validation.

    Raises:
        TrainingError: If the loss is not finite.
    """
    if taken is None:
        return
    losses = taken.losses.tolist()
    if not math.isfinite(losses[0]):
        path = folder.save_bad_batch(taken.example, taken.step)
        raise TrainingError(
            f"The loss is {losses[0]} at step {taken.step}; the batch is in {path}.",
            "Look at its images and labels; if they are good, lower learning_rate. The last "
            "checkpoint is from before and can be resumed.",
        )
    state.losses.append(losses)


@contextlib.contextmanager
def _shapes_vary() -> Iterator[None]:
    """Let cuDNN choose by rule: measuring what is fastest takes seconds for every new shape."""
    measures = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = measures


def _set_mode(state: _State, data: TrainingData, settings: TrainingSettings) -> None:
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


def _averaged(state: _State) -> HoverFast:
    """The network with the moving average as its weights."""
    student = HoverFast(state.network.architecture)
    student.load_state_dict(state.average.weights)
    return student.to(next(state.network.parameters()).device)


def _validate(
    state: _State, data: TrainingData, settings: TrainingSettings, seconds: float
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


def _card(
    name: str,
    data: TrainingData,
    settings: TrainingSettings,
    guides: Guides,
) -> ModelCard:
    parent, teacher = guides.parent, guides.teacher
    sources = [table.provenance for table in data.training]
    labels = data.labels + (teacher.card.labels if teacher else ())
    taught = f"{teacher.card.name} {teacher.digest}" if teacher else ""
    return ModelCard(
        name=name,
        version="",
        mpp=settings.student_mpp or data.validation.mpp,
        architecture=settings.architecture,
        appearance=settings.appearance,
        statistics_share=settings.statistics_share,
        description="Trained with `hoverfast train`.",
        licence=_joined(label.licence for label in labels) or "unknown",
        labels=tuple(dict.fromkeys(labels)),
        teacher=_joined([*(f"{p.teacher} {p.teacher_digest}".strip() for p in sources), taught]),
        cohort=_joined(p.cohort for p in sources),
        training_set_digest=" ".join(table.digest for table in (*data.training, *data.unlabelled)),
        parent_digest=parent.digest if parent else "",
        code_version=__version__,
        training={
            "settings": settings.model_dump_json(exclude={"n_loaders"}),
            "n_training_patches": sum(len(table) for table in data.training),
            "n_unlabelled_patches": sum(len(table) for table in data.unlabelled),
            "n_training_nuclei": sum(int(table.n_nuclei.sum()) for table in data.training),
            "validation_digest": data.validation.digest,
        },
    )


def _joined(names: Iterable[str]) -> str:
    """Different names, once each, in their order."""
    return ", ".join(dict.fromkeys(name for name in names if name))


def _measured(card: ModelCard, data: TrainingData, validation: Validation) -> ModelCard:
    metrics = Metrics(
        dataset=data.validation.path.stem,
        n_images=len(data.validation),
        n_nuclei=int(data.validation.n_nuclei.sum()),
        dice=validation.dice,
        aji=validation.aji,
        pq=validation.pq,
    )
    training = {**card.training, "n_steps_done": validation.step}
    return card.model_copy(update={"metrics": (metrics,), "training": training})
