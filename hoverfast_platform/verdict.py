"""A gate's verdict as values: what a model had to show, what it showed, and whether it passed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import Field

from hoverfast_platform.config import Settings


class PromotionPolicy(Settings):
    """What a candidate must show. Kept with every verdict."""

    tolerance: float = Field(default=0.002, ge=0, le=0.1)
    """How far below the promoted model's a score may be and still count as equal.

    0 asks for strictly no loss in any of the compared scores. Small losses add up over many
    promotions; the floors below end that.
    """

    min_dice: float = Field(default=0.70, ge=0, le=1)
    """Lowest mean pixel Dice."""

    min_aji: float = Field(default=0.50, ge=0, le=1)
    """Lowest mean aggregated Jaccard index."""

    min_pq: float = Field(default=0.45, ge=0, le=1)
    """Lowest mean panoptic quality."""

    min_f1: float = Field(default=0.70, ge=0, le=1)
    """Lowest mean detection F1."""

    min_images: int = Field(default=5, ge=1)
    """Fewest images a validation set may have: one or two prove nothing."""

    min_nuclei: int = Field(default=100, ge=1)
    """Fewest reference nuclei in it."""

    allowed_licences: tuple[str, ...] = (
        "CC0-1.0",
        "CC-BY-4.0",
        "CC-BY-3.0",
        "MIT",
        "BSD-3-Clause",
        "Apache-2.0",
    )
    """Licences of labels that a promoted model may have learned from, as the card spells them.

    Add the name your own labels carry. Non-commercial licences are left out on purpose.
    """

    validation_digest: str = ""
    """Digest of the fixed validation set; empty takes the one that the promoted model was
    judged on, and for the first model the one it was measured on last."""


@dataclass(frozen=True)
class MeasuredScores:
    """A model's scores on a labelled set, and what else the gate asks for.

    Attributes:
        dataset_digest: Digest of the labelled set.
        settings_digest: Digest of everything besides model and set that decided the scores.
        n_images: Images in the set.
        n_nuclei: Reference nuclei in the set.
        scores: Mean over images by name: ``dice``, ``aji``, ``pq``, ``f1``.
    """

    dataset_digest: str
    settings_digest: str
    n_images: int
    n_nuclei: int
    scores: Mapping[str, float]


class Verdict(Settings):
    """Whether the candidate passed, and all that was judged by: what the catalogue keeps."""

    passed: bool
    """All rules hold."""
    reasons: tuple[str, ...]
    """The rules broken; of one that passed, what it was measured by."""
    candidate: MeasuredScores
    promoted: MeasuredScores | None
    policy: PromotionPolicy

    def __str__(self) -> str:
        return "; ".join(self.reasons)
