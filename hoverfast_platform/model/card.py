"""What is known about a model besides its weights. No torch here."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field

from hoverfast_platform.config import Appearance, FileRecord, Settings
from hoverfast_platform.model.architecture import Architecture


class LabelSource(Settings):
    """Labels a model learned from."""

    name: str
    """Name of the set."""
    licence: str
    """SPDX identifier, or the words of the source."""
    citation: str = ""
    """Paper or record to cite."""
    n_images: int = 0
    n_nuclei: int = 0


class Metrics(Settings):
    """Scores on one validation set, each the mean over its images."""

    dataset: str
    n_images: int
    n_nuclei: int
    dice: float
    aji: float
    pq: float
    dice_interval: tuple[float, float] | None = None
    """95 % bootstrap interval that draws whole patients; None where it was not taken."""
    aji_interval: tuple[float, float] | None = None
    pq_interval: tuple[float, float] | None = None


class ModelCard(FileRecord):
    """The JSON beside the weights: what it is, from what it was made, how good it is."""

    name: str
    version: str
    architecture: Architecture = Architecture()
    mpp: float = Field(default=0.25, gt=0)
    """Micrometres per pixel of the images it was trained on: input is resampled to this."""
    stain: str = "H&E"
    appearance: Appearance = Appearance()
    """How bright and how strongly stained the images were that it was trained on; slides are
    brought to this. By default they are shown as they are."""
    statistics_share: float = Field(default=0.0, ge=0, le=1)
    """Share of a slide's own batch-norm statistics in those it is seen with; the rest are the
    model's."""
    description: str = ""
    choose_when: str = ""
    """One sentence that tells a user when to choose this model over the others."""
    licence: str = "unknown"
    """Licence of the weights."""
    labels: tuple[LabelSource, ...] = ()
    """Sets the model itself was trained on."""
    inherited: tuple[LabelSource, ...] | None = None
    """Sets that models it descends from learned from: its parent, its teachers, theirs. None where
    nobody noted them."""
    teacher: str = ""
    """What made the labels: people, or the teacher network and its weights' digest."""
    teacher_digests: tuple[str, ...] = ()
    """SHA-256 of the models of ours that made its labels, or whose maps it was taught."""
    cohort: str = ""
    """Cohort and version the training set was made from."""
    training_set_digest: str = ""
    parent_digest: str = ""
    """SHA-256 of the weights training started from; of several, joined by spaces."""
    training: dict[str, float | int | str] = Field(default_factory=dict)
    metrics: tuple[Metrics, ...] = ()
    code_version: str = ""
    intended_use: str = "Research. Not a medical device."

    @property
    def all_labels(self) -> tuple[LabelSource, ...]:
        """Its own sets and the inherited ones, each once: whose licences bind it."""
        return distinct_labels((*self.labels, *(self.inherited or ())))

    @property
    def bequeathed(self) -> tuple[LabelSource, ...]:
        """What a model that learns from it inherits; unknown where nobody noted it."""
        known = self.all_labels
        if not known:
            return (LabelSource(name=f"what {self.title} learned from", licence=self.licence),)
        if self.inherited is None and (self.parent_digest or self.teacher_digests):
            unknown = f"what the models that {self.title} descends from learned from"
            return (*known, LabelSource(name=unknown, licence="unknown"))
        return known

    @property
    def title(self) -> str:
        """Name and version, for people."""
        return f"{self.name} {self.version}"


def distinct_labels(labels: Iterable[LabelSource]) -> tuple[LabelSource, ...]:
    """Label sets, each once, however often and with whatever counts it is named."""
    found: dict[tuple[str, str, str], LabelSource] = {}
    for label in labels:
        found.setdefault((label.name, label.licence, label.citation), label)
    return tuple(found.values())


def inherited_labels(
    own: Iterable[LabelSource], models: Iterable[ModelCard], others: Iterable[LabelSource] = ()
) -> tuple[LabelSource, ...]:
    """The label sets that a model gets through those it descends from, without its own.

    Args:
        own: Sets it is trained on itself.
        models: Cards of its parents and teachers.
        others: Further sets, such as those that the makers of its labels learned from.
    """
    ours = distinct_labels(own)
    named = {(label.name, label.licence, label.citation) for label in ours}
    through = (label for card in models for label in card.bequeathed)
    return tuple(
        label
        for label in distinct_labels((*through, *others))
        if (label.name, label.licence, label.citation) not in named
    )
