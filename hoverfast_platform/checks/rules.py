"""The rules of the checks: numbers and thresholds in, a finding out."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

from hoverfast_platform.catalogue import AppearanceRecord
from hoverfast_platform.checks.finding import CheckFinding, failed, passed
from hoverfast_platform.checks.policy import (
    DensityCheck,
    DriftCheck,
    MaskCheck,
    QuPathCheck,
    SeamCheck,
)
from hoverfast_platform.errors import StorageError
from hoverfast_platform.mask.statistics import MaskStatistics
from hoverfast_platform.storage.qupath_validation import validate_qupath_file
from hoverfast_platform.storage.summary import SegmentationSummary


def check_mask(of_mask: MaskStatistics, policy: MaskCheck) -> CheckFinding:
    """Judge how much usable tissue a slide has, and how much of it was lost."""
    usable, share = of_mask.tissue_area_mm2, of_mask.tissue_fraction
    lost = of_mask.total_lost_fraction
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
        by = of_mask.lost_fraction
        worst = max(by, key=lambda label: by[label])
        odd.append(f"{lost:.0%} of the tissue is lost, most of it to {worst} ({by[worst]:.0%})")
    if odd:
        return failed(policy.severity, "; ".join(odd), numbers)
    return passed(policy.severity, f"{text}, {lost:.1%} of it was lost to artefacts", numbers)


def check_density(summary: SegmentationSummary, policy: DensityCheck) -> CheckFinding:
    """Judge the nuclei per area of tissue."""
    density = summary.nuclei_per_mm2
    if density is None or summary.tissue_area_mm2 < policy.min_tissue_mm2:
        return passed(
            policy.severity,
            f"Cannot be told: {summary.tissue_area_mm2:.3f} mm2 of tissue, less than "
            f"{policy.min_tissue_mm2:g}.",
        )
    text = f"{density:,.0f} nuclei per mm2"
    numbers = {"nuclei_per_mm2": density}
    low, high = policy.min_nuclei_per_mm2, policy.max_nuclei_per_mm2
    if low <= density <= high:
        return passed(policy.severity, text, numbers)
    return failed(
        policy.severity, f"{text}, outside {low:,.0f} to {high:,.0f}: wrong mpp or stain?", numbers
    )


def check_seams(summary: SegmentationSummary, policy: SeamCheck) -> CheckFinding:
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
        return failed(policy.severity, "; ".join(broken), numbers)
    text = f"{seams.n_duplicates} of {seams.n_near_seams} nuclei near seams are doubled"
    return passed(policy.severity, text, numbers)


def check_qupath_file(
    path: Path, n_nuclei: int, policy: QuPathCheck, *, width_px: int, height_px: int
) -> CheckFinding:
    """Read a result back as QuPath would."""
    if n_nuclei > policy.max_nuclei:
        return passed(policy.severity, f"Not read back: more than {policy.max_nuclei:,} nuclei.")
    if policy.severity == "off":
        return passed("off", "")
    try:
        report = validate_qupath_file(path, width=width_px, height=height_px)
    except StorageError as error:
        return failed(policy.severity, str(error), {})
    if report.n_features != n_nuclei:
        text = f"It holds {report.n_features:,} nuclei, {n_nuclei:,} were found."
        return failed(policy.severity, text, {"n_features": float(report.n_features)})
    return passed(policy.severity, f"{report.n_features:,} detections")


def check_drift(
    slide: AppearanceRecord | None,
    others: Sequence[AppearanceRecord],
    among: str,
    policy: DriftCheck,
) -> CheckFinding:
    """Judge how far a slide is from the others of its cohort.

    Args:
        slide: What the slide looks like; None without tissue, and for slides that are not H&E.
        others: What the other slides of the cohort look like.
        among: Which slides these are, for people.
        policy: How far is too far.
    """
    if slide is None:
        return passed(policy.severity, "Cannot be told: no tissue, or not H&E.")
    if len(others) < policy.min_slides:
        return passed(
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
        return failed(
            policy.severity, f"{'; '.join(far)} the median of {len(others)} in {among}", numbers
        )
    return passed(policy.severity, f"like {len(others)} others in {among}", numbers)


def _deviations(value: float, others: Sequence[float]) -> float:
    """Distance of a value from the median of the others, in robust standard deviations.

    The spread is taken to be at least a hundredth of the median, since slides may be all but equal.
    """
    median = statistics.median(others)
    spread = 1.4826 * statistics.median(abs(other - median) for other in others)
    return (value - median) / max(spread, 0.01 * abs(median), 1e-6)
