"""What an evaluation found: scores per image, and their means per slide, patient and in all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hoverfast_platform.config import Settings
from hoverfast_platform.evaluation.bootstrap import bootstrap_mean
from hoverfast_platform.evaluation.labelled_set import LabelledItem
from hoverfast_platform.evaluation.metrics import Scores
from hoverfast_platform.provenance import Arithmetic
from hoverfast_platform.scores import SCORE_NAMES, EvaluationSummary, MeanScores


@dataclass(frozen=True)
class ImageScores:
    """One labelled image and how well its nuclei were found."""

    item: LabelledItem
    scores: Scores


class MeasuredModel(Settings):
    """The model that was measured, and on what it ran."""

    name: str
    version: str
    sha256: str
    arithmetic: Arithmetic


@dataclass(frozen=True)
class Evaluation:
    """A model measured on a labelled set.

    Attributes:
        model: What was measured.
        dataset: Name of the labelled set.
        dataset_digest: Digest of its images and labels.
        dataset_provenance: Where the labels come from.
        reference: What made the labels, for people: ``annotations``, a teacher.
        settings: Everything besides model and data that decided the scores.
        settings_digest: SHA-256 of the settings.
        code_version: Version of this package.
        images: The images with their scores, in the order of the set.
    """

    model: MeasuredModel
    dataset: str
    dataset_digest: str
    dataset_provenance: dict[str, Any]
    reference: str
    settings: dict[str, Any]
    settings_digest: str
    code_version: str
    images: tuple[ImageScores, ...]

    @property
    def n_true(self) -> int:
        return sum(image.scores.n_true for image in self.images)

    @property
    def n_predicted(self) -> int:
        return sum(image.scores.n_predicted for image in self.images)

    def overall(self) -> MeanScores:
        """Mean of each score over images, with its interval."""
        return _intervals(self.images)

    def by_source(self) -> dict[str, tuple[ImageScores, ...]]:
        """Images of each slide."""
        return _grouped([(image.item.source, image) for image in self.images])

    def by_group(self) -> dict[str, tuple[ImageScores, ...]]:
        """Images of each patient."""
        return _grouped([(image.item.group, image) for image in self.images])

    def summary(self) -> EvaluationSummary:
        """The scores without the images: what the catalogue keeps."""
        return EvaluationSummary(
            n_images=len(self.images),
            n_groups=len(self.by_group()),
            n_true=self.n_true,
            n_predicted=self.n_predicted,
            reference=self.reference,
            device=str(self.model.arithmetic),
            code_version=self.code_version,
            scores=self.overall(),
        )


def paired_differences(one: Evaluation, other: Evaluation) -> MeanScores:
    """Mean of ``other - one`` per score over the same images, with its interval.

    Pairing takes out how hard each image is, so that smaller differences can be told.
    """
    groups = [image.item.group for image in one.images]
    return MeanScores(
        **{
            name: bootstrap_mean(
                [
                    getattr(b.scores, name) - getattr(a.scores, name)
                    for a, b in zip(one.images, other.images, strict=True)
                ],
                groups,
            )
            for name in SCORE_NAMES
        }
    )


def mean_scores(images: Sequence[ImageScores]) -> dict[str, float]:
    """Mean of each score over images."""
    return {name: interval.mean for name, interval in _intervals(images).named()}


def _intervals(images: Sequence[ImageScores]) -> MeanScores:
    groups = [image.item.group for image in images]
    return MeanScores(
        **{
            name: bootstrap_mean([getattr(image.scores, name) for image in images], groups)
            for name in SCORE_NAMES
        }
    )


def _grouped(named: Sequence[tuple[str, ImageScores]]) -> dict[str, tuple[ImageScores, ...]]:
    found: dict[str, list[ImageScores]] = {}
    for name, image in named:
        found.setdefault(name, []).append(image)
    return {name: tuple(images) for name, images in sorted(found.items())}
