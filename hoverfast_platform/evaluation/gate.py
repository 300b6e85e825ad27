"""Whether a candidate may replace the promoted model: a rule on numbers, no files, no models."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from hoverfast_platform.catalogue.descent_records import Ancestry
from hoverfast_platform.verdict import MeasuredScores, PromotionPolicy, Verdict

_AND = re.compile(r",\s*|\s+and\s+", re.IGNORECASE)
"""What stands between licences that hold together: cards join those of several label sets."""

COMPARED = ("dice", "aji", "pq", "f1")
"""DQ and SQ are left out: PQ is their product, and either may be traded for the other."""


def judge(
    candidate: MeasuredScores,
    promoted: MeasuredScores | None,
    *,
    card: Mapping[str, Any],
    ancestry: Ancestry | None = None,
    policy: PromotionPolicy = PromotionPolicy(),
) -> Verdict:
    """Judge a candidate.

    Its licences are those of all labels it ever learned from: its own, and those of the models it
    descends from, as its card and the catalogue know them.

    Args:
        candidate: The candidate's scores on the fixed validation set.
        promoted: The scores of the model in place; None for the first model.
        card: The candidate's card: its ``labels`` and ``inherited`` ones with their ``licence``,
            and its ``training_set_digest``.
        ancestry: What the catalogue knows of its descent; None if it knows nothing.
        policy: What the candidate must show.
    """
    broken = [
        *_about_the_set(candidate, policy),
        *_about_training(candidate, card, policy),
        *_about_licences(card, ancestry or Ancestry(), policy),
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
    if not card.get("labels"):
        broken.append("its card names no labels, so their licence is unknown")
    return broken


def _about_licences(
    card: Mapping[str, Any], ancestry: Ancestry, policy: PromotionPolicy
) -> list[str]:
    on_card = [(label, False) for label in card.get("labels") or ()]
    on_card += [(label, True) for label in card.get("inherited") or ()]
    named = {(label["name"], label["licence"]): is_inherited for label, is_inherited in on_card}
    for use in ancestry.labels:
        named.setdefault((use.name, use.licence), use.is_inherited)
    allowed = {_plain(licence) for licence in policy.allowed_licences}
    broken = [
        f"labels {name!r}{', which it inherited,' if is_inherited else ''} have the licence "
        f"{licence!r}, which is not allowed"
        for (name, licence), is_inherited in named.items()
        if _plain(licence) not in allowed
        and not {_plain(part) for part in _AND.split(licence)} <= allowed
    ]
    broken += [f"it learned from what was withdrawn: {what}" for what in ancestry.withdrawn]
    if card.get("inherited") is None and ancestry.unknown:
        broken.append(
            "its card does not say what the models it descends from learned from, and the "
            f"catalogue does not know {', '.join(sha256[:10] for sha256 in ancestry.unknown)}"
        )
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
