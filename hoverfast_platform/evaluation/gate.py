"""Whether a candidate may replace the promoted model: a rule on numbers, no files, no models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from hoverfast_platform.catalogue import EvaluationRecord
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
        dataset_digest: Of the labelled set.
        settings_digest: Of everything besides model and set that decided the scores.
        n_images: Images in the set.
        n_nuclei: Reference nuclei in the set.
        scores: Mean over images by name: ``dice``, ``aji``, ``pq``, ``f1``.
    """

    dataset_digest: str
    settings_digest: str
    n_images: int
    n_nuclei: int
    scores: Mapping[str, float]

    @classmethod
    def of(cls, record: EvaluationRecord) -> MeasuredScores:
        """Those of a measurement."""
        return cls(
            dataset_digest=record.dataset_digest,
            settings_digest=record.settings_digest,
            n_images=record.summary.n_images,
            n_nuclei=record.summary.n_true,
            scores={name: interval.mean for name, interval in record.summary.scores.named()},
        )


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


COMPARED = ("dice", "aji", "pq", "f1")
"""DQ and SQ are left out: PQ is their product, and either may be traded for the other."""


def judge(
    candidate: MeasuredScores,
    promoted: MeasuredScores | None,
    *,
    card: Mapping[str, Any],
    policy: PromotionPolicy = PromotionPolicy(),
) -> Verdict:
    """Judge a candidate.

    Args:
        candidate: Its scores on the fixed validation set.
        promoted: Those of the model in place; None for the first.
        card: The candidate's card: its ``labels`` with their ``licence``, and its
            ``training_set_digest``.
        policy: What it must show.
    """
    broken = [
        *_about_the_set(candidate, policy),
        *_about_training(candidate, card, policy),
        *_below_floors(candidate, policy),
        *(_against_promoted(candidate, promoted, policy) if promoted is not None else ()),
    ]
    measured_by = [
        f"{name} {candidate.scores[name]:.4f}"
        + (f" against {promoted.scores[name]:.4f}" if promoted is not None else "")
        for name in COMPARED
    ]
    return Verdict(
        passed=not broken,
        reasons=tuple(broken or measured_by),
        candidate=candidate,
        promoted=promoted,
        policy=policy,
    )


def _about_the_set(candidate: MeasuredScores, policy: PromotionPolicy) -> list[str]:
    broken = []
    if policy.validation_digest and candidate.dataset_digest != policy.validation_digest:
        broken.append(
            f"measured on set {candidate.dataset_digest[:10]}, but the fixed validation set is "
            f"{policy.validation_digest[:10]}"
        )
    if candidate.n_images < policy.min_images:
        broken.append(f"{candidate.n_images} validation images, fewer than {policy.min_images}")
    if candidate.n_nuclei < policy.min_nuclei:
        broken.append(f"{candidate.n_nuclei} reference nuclei, fewer than {policy.min_nuclei}")
    return broken


def _about_training(
    candidate: MeasuredScores, card: Mapping[str, Any], policy: PromotionPolicy
) -> list[str]:
    broken = []
    if card.get("training_set_digest") == candidate.dataset_digest:
        broken.append("the validation set is the one it was trained on")
    labels = card.get("labels") or ()
    if not labels:
        broken.append("its card names no labels, so their licence is unknown")
    allowed = {_plain(licence) for licence in policy.allowed_licences}
    broken += [
        f"labels {label['name']!r} have the licence {label['licence']!r}, which is not allowed"
        for label in labels
        if _plain(label["licence"]) not in allowed
    ]
    return broken


def _below_floors(candidate: MeasuredScores, policy: PromotionPolicy) -> list[str]:
    floors = {name: float(getattr(policy, f"min_{name}")) for name in COMPARED}
    return [
        f"{name} {candidate.scores[name]:.4f} is below the floor of {floor:g}"
        for name, floor in floors.items()
        if not candidate.scores[name] >= floor
    ]


def _against_promoted(
    candidate: MeasuredScores, promoted: MeasuredScores, policy: PromotionPolicy
) -> list[str]:
    if candidate.dataset_digest != promoted.dataset_digest:
        return [
            f"measured on set {candidate.dataset_digest[:10]}, the promoted model on "
            f"{promoted.dataset_digest[:10]}: their scores do not compare"
        ]
    if candidate.settings_digest != promoted.settings_digest:
        return [
            "measured with other settings than the promoted model "
            f"({candidate.settings_digest[:10]}, {promoted.settings_digest[:10]}): their scores "
            "do not compare"
        ]
    return [
        f"{name} {candidate.scores[name]:.4f} is worse than the promoted model's "
        f"{promoted.scores[name]:.4f} by more than {policy.tolerance:g}"
        for name in COMPARED
        if not candidate.scores[name] >= promoted.scores[name] - policy.tolerance
    ]


def _plain(licence: str) -> str:
    """``cc by 4.0`` and ``CC-BY-4.0`` are one licence."""
    return "-".join(licence.upper().split())
