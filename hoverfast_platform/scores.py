"""Scores of a model as values: means over images with their intervals, and what is kept of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hoverfast_platform.config import Settings


@dataclass(frozen=True)
class Interval:
    """A mean over images with its bootstrap interval.

    Attributes:
        mean: Each image counts once.
        low: Lower end; None with one group, from which nothing can be said.
        high: Upper end, likewise.
        n_images: Images averaged.
        n_groups: Groups drawn from.
    """

    mean: float
    low: float | None
    high: float | None
    n_images: int
    n_groups: int

    @property
    def interval_text(self) -> str:
        """``[low, high]``, or nothing where there is none."""
        if self.low is None or self.high is None:
            return ""
        return f"[{self.low:.3f}, {self.high:.3f}]"

    def __str__(self) -> str:
        return f"{self.mean:.3f} {self.interval_text}".rstrip()


class MeanScores(Settings):
    """Every score of an image, averaged over images; see ``evaluation.metrics``."""

    dice: Interval
    aji: Interval
    dq: Interval
    sq: Interval
    pq: Interval
    f1: Interval
    precision: Interval
    recall: Interval

    def named(self) -> Iterator[tuple[str, Interval]]:
        """Name and mean of each score, in the order tables show them."""
        return ((name, getattr(self, name)) for name in SCORE_NAMES)


SCORE_NAMES: tuple[str, ...] = tuple(MeanScores.model_fields)
"""In the order tables show them."""


class EvaluationSummary(Settings):
    """A model measured on a labelled set, without the images: what the catalogue keeps."""

    n_images: int
    n_groups: int
    n_true: int
    n_predicted: int
    reference: str
    """What made the labels, for people."""
    device: str
    code_version: str
    scores: MeanScores
