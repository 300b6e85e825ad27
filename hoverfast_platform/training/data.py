"""What a training is given: labelled and unlabelled patches, and models to follow."""

from __future__ import annotations

from dataclasses import dataclass

from hoverfast_platform.errors import TrainingError
from hoverfast_platform.model.card import LabelSource
from hoverfast_platform.model.checkpoint import LoadedModel
from hoverfast_platform.storage.patch_table import PatchTable


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
        """Label sets of the training side, with the images and nuclei that are learned from."""
        return tuple(label for table in self.training for label in _used_labels(table))

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


def _used_labels(table: PatchTable) -> tuple[LabelSource, ...]:
    """What a table says of its labels; counted anew where they are all of one set."""
    labels = table.provenance.labels
    if len(labels) != 1:
        return labels
    used = {"n_images": len(set(table.sources)), "n_nuclei": int(table.n_nuclei.sum())}
    return (labels[0].model_copy(update=used),)


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
