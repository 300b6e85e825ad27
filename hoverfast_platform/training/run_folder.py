"""What a training leaves on disk, and how it goes on after it was killed.

::

    last.pt               weights, average, optimiser, step: everything a resumed run needs
    student.safetensors   the averaged weights kept so far, with student.json, their card
    validations.jsonl     one line per validation: step, losses, scores
    events.out.tfevents…  the same for TensorBoard
    settings.json         what was asked for

A run folder belongs to one training: other settings, data or parent are refused.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from hoverfast_platform.errors import TrainingError
from hoverfast_platform.files import text_sha256, written_atomically
from hoverfast_platform.training.targets import Targets


@dataclass(frozen=True)
class TrainingIdentity:
    """What decides the student that comes out; stored with the run."""

    settings: str
    training_digests: tuple[str, ...]
    validation_digest: str
    parent_digest: str
    unlabelled_digests: tuple[str, ...]
    teacher_digest: str

    def digest(self) -> str:
        """SHA-256 of all of it, hex: equal trainings have equal digests."""
        return text_sha256(json.dumps(asdict(self)))


class Example(NamedTuple):
    """What a network is shown in one step, ``(N, 3, S, S)`` 0..255, and what it should say."""

    image: Tensor
    targets: Targets


@dataclass(frozen=True)
class Validation:
    """One line of ``validations.jsonl``; losses are means since the line before."""

    step: int
    seconds: float
    learning_rate: float
    loss: float
    cross_entropy: float
    dice_loss: float
    hv: float
    hv_gradient: float
    dice: float
    aji: float
    dq: float
    sq: float
    pq: float
    f1: float

    @property
    def selection_score(self) -> float:
        """The score by which the best student is chosen: pixels, instances and detection alike."""
        return (self.dice + self.aji + self.pq) / 3


class RunFolder:
    """Reads and writes the files of one training."""

    def __init__(self, path: Path, identity: TrainingIdentity) -> None:
        self.path = path
        self._identity = asdict(identity)

    @property
    def student(self) -> Path:
        return self.path / "student.safetensors"

    def begin(self) -> dict[str, Any] | None:
        """State to go on from, or None for a fresh training.

        Raises:
            TrainingError: If the folder holds another training, or its state is damaged.
        """
        described = self.path / "settings.json"
        wanted = json.loads(json.dumps(self._identity))
        if described.exists():
            found = json.loads(described.read_text(encoding="utf-8"))
            if found != wanted:
                changed = [name for name in wanted if found.get(name) != wanted[name]]
                raise TrainingError(
                    f"{self.path} holds another training: {', '.join(changed)} differ.",
                    "Use another output folder, or delete this one to start anew.",
                )
        else:
            with written_atomically(described) as part:
                part.write_text(json.dumps(wanted, indent=1), encoding="utf-8")
        last = self.path / "last.pt"
        if not last.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(last, map_location="cpu", weights_only=True)
        except Exception as error:  # damaged bytes make the unpickler raise anything
            raise TrainingError(
                f"{last} is damaged: {error}",
                "Delete it to start anew; student.safetensors is kept.",
            ) from error
        return state

    def save_state(self, state: dict[str, Any]) -> None:
        """Replace ``last.pt``; a kill leaves the one before."""
        with written_atomically(self.path / "last.pt") as part:
            torch.save(state, part)

    def validations(self, up_to_step: int | None = None) -> list[Validation]:
        """All validations so far; those after ``up_to_step`` are forgotten on disk too.

        A last line that a killed writer left unfinished is one of those.
        """
        path = self.path / "validations.jsonl"
        if not path.exists():
            return []
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        rows = [Validation(**json.loads(line)) for line in lines if line.endswith("\n")]
        if up_to_step is None:
            return rows
        rows = [row for row in rows if row.step <= up_to_step]
        if len(rows) < len(lines):
            with written_atomically(path) as part:
                part.write_text("".join(json.dumps(asdict(row)) + "\n" for row in rows))
        return rows

    def append(self, validation: Validation) -> None:
        with (self.path / "validations.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(validation)) + "\n")

    def save_bad_batch(self, batch: Example, step: int) -> Path:
        """Keep the batch on which the loss was not finite."""
        path = self.path / f"bad_batch_step_{step}.npz"
        with written_atomically(path) as part, part.open("wb") as file:
            arrays = {"image": batch.image, **batch.targets._asdict()}
            np.savez_compressed(file, **{k: v.cpu().numpy() for k, v in arrays.items()})
        return path
