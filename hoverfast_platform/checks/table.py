"""All checks of slides, each named once: what it is called, what it asks, and its rule.

One more check is one more entry here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from hoverfast_platform.catalogue import AppearanceRecord
from hoverfast_platform.checks.finding import CheckFinding
from hoverfast_platform.checks.policy import CheckPolicy, Severity
from hoverfast_platform.checks.rules import (
    check_density,
    check_drift,
    check_mask,
    check_qupath_file,
    check_seams,
)
from hoverfast_platform.mask.statistics import MaskStatistics
from hoverfast_platform.storage.summary import SegmentationSummary

_Facts = TypeVar("_Facts")


@dataclass(frozen=True)
class SlideCheck(Generic[_Facts]):
    """A check of one slide.

    Attributes:
        name: The name under which it is shown and recorded.
        question: What it asks, and where its thresholds are set.
        judge: The rule that judges a slide.
        severity: What a failure counts as.
    """

    name: str
    question: str
    judge: Callable[[_Facts, CheckPolicy], CheckFinding]
    severity: Callable[[CheckPolicy], Severity]


@dataclass(frozen=True)
class NucleiFacts:
    """What the checks of a slide's nuclei go by.

    Attributes:
        summary: Summary of the segmentation.
        qupath_path: Its file for QuPath.
        width_px: Width of the slide's frame, level-0 pixels.
        height_px: Height of the slide's frame, level-0 pixels.
        appearance: What the slide looks like; None without tissue, and where it is not H&E.
        others: What the slides look like with which it is compared.
        among: Which slides these are, for people.
    """

    summary: SegmentationSummary
    qupath_path: Path
    width_px: int
    height_px: int
    appearance: AppearanceRecord | None
    others: tuple[AppearanceRecord, ...]
    among: str


def _judge_file(facts: NucleiFacts, policy: CheckPolicy) -> CheckFinding:
    return check_qupath_file(
        facts.qupath_path,
        facts.summary.n_nuclei,
        policy.qupath,
        width_px=facts.width_px,
        height_px=facts.height_px,
    )


MASK_CHECKS: tuple[SlideCheck[MaskStatistics], ...] = (
    SlideCheck(
        "mask_is_plausible",
        "There is usable tissue on the slide, not only tissue, and not most of it was lost to "
        "artefacts. Thresholds: `mask` in checks.json.",
        lambda statistics, policy: check_mask(statistics, policy.mask),
        lambda policy: policy.mask.severity,
    ),
)

NUCLEI_CHECKS: tuple[SlideCheck[NucleiFacts], ...] = (
    SlideCheck(
        "density_is_plausible",
        "Nuclei per mm2 as tissue can have them. Thresholds: `density` in checks.json.",
        lambda facts, policy: check_density(facts.summary, policy.density),
        lambda policy: policy.density.severity,
    ),
    SlideCheck(
        "seams_are_clean",
        "No nuclei doubled or lost where tiles meet. Thresholds: `seams` in checks.json.",
        lambda facts, policy: check_seams(facts.summary, policy.seams),
        lambda policy: policy.seams.severity,
    ),
    SlideCheck(
        "opens_in_qupath",
        "The file was read back, and QuPath would import all of it. Setting: `qupath` in "
        "checks.json.",
        _judge_file,
        lambda policy: policy.qupath.severity,
    ),
    SlideCheck(
        "looks_like_its_cohort",
        "Stain and density are like those of the other slides of its cohort, or of all slides "
        "where it has none. Thresholds: `drift` in checks.json.",
        lambda facts, policy: check_drift(
            facts.appearance, facts.others, facts.among, policy.drift
        ),
        lambda policy: policy.drift.severity,
    ),
)
