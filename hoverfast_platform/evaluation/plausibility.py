"""Whether a slide's mask and nuclei are plausible: rules on numbers, with their thresholds.

Nothing is repaired or held back here: a finding tells a person where to look.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import Field

from hoverfast_platform.catalogue import AppearanceRecord
from hoverfast_platform.config import Settings
from hoverfast_platform.errors import StorageError
from hoverfast_platform.files import read_settings_file_if_any
from hoverfast_platform.mask.statistics import MaskStatistics
from hoverfast_platform.storage.qupath_validation import validate_qupath_file
from hoverfast_platform.storage.summary import SegmentationSummary

Severity: TypeAlias = Literal["warn", "error", "off"]


class MaskCheck(Settings):
    """Is there tissue, is there anything else, and how much of it was lost to artefacts?"""

    severity: Severity = "warn"
    min_tissue_fraction: float = Field(default=0.002, ge=0, le=1)
    """A slide with less is blank, or its tissue too pale to be found."""
    max_tissue_fraction: float = Field(default=0.98, ge=0, le=1)
    """With more, glass was probably taken for tissue; crops without glass have it, too."""
    min_tissue_mm2: float = Field(default=0.05, ge=0)
    """With less there are a few hundred nuclei at most."""
    max_lost_fraction: float = Field(default=0.5, ge=0, le=1)
    """Of the tissue, to pen, blur, folds and the like."""


class DensityCheck(Settings):
    """Do the nuclei fit the tissue? Lymph nodes have some 15,000 per mm2, fat below 100."""

    severity: Severity = "warn"
    min_nuclei_per_mm2: float = Field(default=50, ge=0)
    max_nuclei_per_mm2: float = Field(default=20_000, ge=0)
    min_tissue_mm2: float = Field(default=0.01, ge=0)
    """On less tissue a density says nothing."""


class SeamCheck(Settings):
    """Were nuclei doubled or lost where tiles meet?"""

    severity: Severity = "warn"
    max_doubled_share: float = Field(default=0.002, ge=0, le=1)
    """Of the nuclei near seams."""
    min_density_ratio: float = Field(default=0.7, ge=0)
    """Nuclei per area near seams over elsewhere; 1 when none is lost."""
    max_density_ratio: float = Field(default=1.4, ge=0)
    min_nuclei: int = Field(default=500, ge=1)
    """With fewer near seams the ratio is chance."""


class QuPathCheck(Settings):
    """Would QuPath import the whole file?"""

    severity: Severity = "error"
    max_nuclei: int = Field(default=2_000_000, ge=0)
    """Files of more are not read back, to save the time."""


class DriftCheck(Settings):
    """Does a slide look like the others of its cohort?"""

    severity: Severity = "warn"
    max_deviations: float = Field(default=4, gt=0)
    """Robust standard deviations from the cohort's median."""
    min_slides: int = Field(default=8, ge=3)
    """Fewer others are no cohort to compare with."""


class GateSeverity(Settings):
    """How a student is shown that may not be promoted. Its thresholds are in its plan."""

    severity: Literal["warn", "error"] = "warn"


class CheckPolicy(Settings):
    """All checks of the platform. A file ``checks.json`` holds what differs from here."""

    mask: MaskCheck = MaskCheck()
    density: DensityCheck = DensityCheck()
    seams: SeamCheck = SeamCheck()
    qupath: QuPathCheck = QuPathCheck()
    drift: DriftCheck = DriftCheck()
    gate: GateSeverity = GateSeverity()


def read_policy(path: Path) -> CheckPolicy:
    """The policy in a file, or the default one where there is no file.

    Raises:
        SettingsError: If it is wrong; every wrong field is named.
    """
    return read_settings_file_if_any(path, CheckPolicy, what="a policy of checks")


@dataclass(frozen=True)
class Finding:
    """What a check says.

    Attributes:
        passed: True also where it cannot be told; ``text`` says so.
        severity: How much a failure matters.
        text: For people.
        numbers: What it was judged by.
    """

    passed: bool
    severity: Severity
    text: str
    numbers: Mapping[str, float] = field(default_factory=dict)


def check_mask(statistics: MaskStatistics, policy: MaskCheck) -> Finding:
    """Judge how much usable tissue a slide has, and how much of it was lost."""
    usable, share = statistics.tissue_area_mm2, statistics.tissue_fraction
    lost = statistics.total_lost_fraction
    numbers = {"tissue_fraction": share, "tissue_mm2": usable, "lost_fraction": lost}
    text = f"{share:.1%} of the slide is tissue"
    odd: list[str] = []
    if usable == 0:
        odd.append("no usable tissue, so there will be no nuclei: is it blank, or too pale?")
    elif share < policy.min_tissue_fraction:
        odd.append(f"{text}: is it blank, or too pale?")
    elif usable < policy.min_tissue_mm2:
        odd.append(f"only {usable:.3g} mm2 of usable tissue")
    if share > policy.max_tissue_fraction:
        odd.append(f"{text}: is there no glass on it, or was glass taken for tissue?")
    if lost > policy.max_lost_fraction:
        by = statistics.lost_fraction
        worst = max(by, key=lambda label: by[label])
        odd.append(f"{lost:.0%} of the tissue is lost, most of it to {worst} ({by[worst]:.0%})")
    if odd:
        return _failed(policy.severity, "; ".join(odd), numbers)
    return _passed(policy.severity, f"{text}, {lost:.1%} of it was lost to artefacts", numbers)


def check_density(summary: SegmentationSummary, policy: DensityCheck) -> Finding:
    """Judge the nuclei per area of tissue."""
    density = summary.nuclei_per_mm2
    if density is None or summary.tissue_area_mm2 < policy.min_tissue_mm2:
        return _passed(
            policy.severity,
            f"Cannot be told: {summary.tissue_area_mm2:.3f} mm2 of tissue, less than "
            f"{policy.min_tissue_mm2:g}.",
        )
    text = f"{density:,.0f} nuclei per mm2"
    numbers = {"nuclei_per_mm2": density}
    low, high = policy.min_nuclei_per_mm2, policy.max_nuclei_per_mm2
    if low <= density <= high:
        return _passed(policy.severity, text, numbers)
    return _failed(
        policy.severity, f"{text}, outside {low:,.0f} to {high:,.0f}: wrong mpp or stain?", numbers
    )


def check_seams(summary: SegmentationSummary, policy: SeamCheck) -> Finding:
    """Judge the seam audit of a segmentation."""
    seams = summary.seams
    numbers = {"n_near_seams": float(seams.n_near_seams), "n_doubled": float(seams.n_duplicates)}
    broken = []
    if seams.n_duplicates > policy.max_doubled_share * seams.n_near_seams:
        broken.append(f"{seams.n_duplicates} of {seams.n_near_seams} near seams are doubled")
    ratio = seams.density_ratio
    if ratio is not None and seams.n_near_seams >= policy.min_nuclei:
        numbers["density_ratio"] = ratio
        if not policy.min_density_ratio <= ratio <= policy.max_density_ratio:
            broken.append(f"near seams there are {ratio:.2f} times as many as elsewhere")
    if broken:
        return _failed(policy.severity, "; ".join(broken), numbers)
    text = f"{seams.n_duplicates} of {seams.n_near_seams} nuclei near seams are doubled"
    return _passed(policy.severity, text, numbers)


def check_qupath_file(
    path: Path, n_nuclei: int, policy: QuPathCheck, *, width_px: int, height_px: int
) -> Finding:
    """Read a result back as QuPath would."""
    if n_nuclei > policy.max_nuclei:
        return _passed(policy.severity, f"Not read back: more than {policy.max_nuclei:,} nuclei.")
    if policy.severity == "off":
        return _passed("off", "")
    try:
        report = validate_qupath_file(path, width=width_px, height=height_px)
    except StorageError as error:
        return _failed(policy.severity, str(error), {})
    if report.n_features != n_nuclei:
        text = f"It holds {report.n_features:,} nuclei, {n_nuclei:,} were found."
        return _failed(policy.severity, text, {"n_features": float(report.n_features)})
    return _passed(policy.severity, f"{report.n_features:,} detections")


def check_drift(
    slide: AppearanceRecord | None,
    others: Sequence[AppearanceRecord],
    among: str,
    policy: DriftCheck,
) -> Finding:
    """Judge how far a slide is from the others of its cohort.

    Args:
        slide: None without tissue, and of slides that are not H&E.
        others: Of the cohort, without the slide itself.
        among: Who they are, for people.
        policy: How far is too far.
    """
    if slide is None:
        return _passed(policy.severity, "Cannot be told: no tissue, or not H&E.")
    if len(others) < policy.min_slides:
        return _passed(
            policy.severity,
            f"Cannot be told: {len(others)} other slides in {among}, {policy.min_slides} needed.",
        )
    numbers = {
        name: _deviations(getattr(slide, name), [getattr(other, name) for other in others])
        for name in ("hematoxylin", "eosin", "nuclei_per_mm2")
    }
    far = [
        f"{name} {getattr(slide, name):.3g} is {abs(deviations):.1f} deviations "
        f"{'above' if deviations > 0 else 'below'}"
        for name, deviations in numbers.items()
        if abs(deviations) > policy.max_deviations
    ]
    if far:
        return _failed(
            policy.severity, f"{'; '.join(far)} the median of {len(others)} in {among}", numbers
        )
    return _passed(policy.severity, f"like {len(others)} others in {among}", numbers)


def _deviations(value: float, others: Sequence[float]) -> float:
    """Distance from the median in robust standard deviations.

    The spread counts as at least a hundredth of the median: slides may be all but equal.
    """
    median = statistics.median(others)
    spread = 1.4826 * statistics.median(abs(other - median) for other in others)
    return (value - median) / max(spread, 0.01 * abs(median), 1e-6)


def _passed(severity: Severity, text: str, numbers: Mapping[str, float] | None = None) -> Finding:
    return Finding(True, severity, "Switched off." if severity == "off" else text, numbers or {})


def _failed(severity: Severity, text: str, numbers: Mapping[str, float]) -> Finding:
    if severity == "off":
        return Finding(True, severity, f"Switched off. {text}", numbers)
    return Finding(False, severity, text, numbers)
