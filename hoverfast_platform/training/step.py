"""One step of a training: what a network is shown, what it should say, and what it learns of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hoverfast_platform.errors import TrainingError
from hoverfast_platform.model.checkpoint import LoadedModel
from hoverfast_platform.model.network import HoverFast
from hoverfast_platform.training.crops import MARGIN_PX, Crop
from hoverfast_platform.training.losses import student_losses
from hoverfast_platform.training.optimisation import (
    MixedPrecision,
    MovingAverage,
    learning_rate_at,
    make_optimiser,
)
from hoverfast_platform.training.run_folder import Example, RunFolder
from hoverfast_platform.training.settings import TrainingSettings
from hoverfast_platform.training.targets import Targets, blended, targets_of
from hoverfast_platform.training.variation import Chance, vary_capture, vary_tissue


@dataclass
class TrainingState:
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


class StepTaken(NamedTuple):
    """A step that was taken: its number, what was shown, and its losses ``(5,)`` on the device."""

    step: int
    example: Example
    losses: Tensor


def fresh_state(
    settings: TrainingSettings,
    parent: LoadedModel | None,
    device: torch.device,
    precision: MixedPrecision,
) -> TrainingState:
    """A training's first state: random weights, or the parent's.

    Raises:
        TrainingError: If the parent is of another architecture than was asked for.
    """
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
    return TrainingState(
        network=network,
        average=MovingAverage(network, settings.ema_decay),
        optimiser=make_optimiser(network, settings),
        scaler=torch.amp.GradScaler(device.type, enabled=precision.scales_gradients),
    )


def tutor_on(
    device: torch.device, teacher: LoadedModel | None, settings: TrainingSettings, mpp: float
) -> HoverFast | None:
    """The teacher's network on a device.

    Args:
        device: Where the student is trained.
        teacher: The model; None gives None.
        settings: Settings of the training.
        mpp: Micrometres per pixel of the crops, which teacher and student both see.

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
    if teacher.card.mpp != mpp:
        raise TrainingError(
            f"{teacher.path} works at {teacher.card.mpp} um per pixel, the student is to work at "
            f"{mpp}.",
            "Train a teacher at the student's scale.",
        )
    network = HoverFast(teacher.network.architecture)
    network.load_state_dict(teacher.network.state_dict())
    # The stubs do not know this keyword.
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    frozen: HoverFast = network.eval().requires_grad_(requires_grad=False)
    return frozen


def varied_example(
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


def take_step(
    state: TrainingState,
    example: Example,
    settings: TrainingSettings,
    precision: MixedPrecision,
) -> StepTaken:
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
    return StepTaken(state.step - 1, example, torch.stack([term.detach() for term in losses]))


def note_losses(taken: StepTaken | None, state: TrainingState, folder: RunFolder) -> None:
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
