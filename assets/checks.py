"""The checks of a slide's mask and nuclei: what they are called, and findings as verdicts.

The rules and thresholds are in ``hoverfast_platform.evaluation.plausibility``; what differs from
them is set in ``checks.json`` in the artefact folder.
"""

from __future__ import annotations

import dagster as dg

from assets.batch import slide_check
from hoverfast_platform.evaluation.plausibility import Finding

MASK_CHECKS = [
    slide_check(
        "mask_is_plausible",
        "tissue_mask",
        "There is usable tissue on the slide, not only tissue, and not most of it was lost to "
        "artefacts. Thresholds: `mask` in checks.json.",
    )
]

NUCLEI_CHECKS = [
    slide_check(
        "density_is_plausible",
        "nuclei",
        "Nuclei per mm2 as tissue can have them. Thresholds: `density` in checks.json.",
    ),
    slide_check(
        "seams_are_clean",
        "nuclei",
        "No nuclei doubled or lost where tiles meet. Thresholds: `seams` in checks.json.",
    ),
    slide_check(
        "opens_in_qupath",
        "nuclei",
        "The file was read back, and QuPath would import all of it. Setting: `qupath` in "
        "checks.json.",
    ),
    slide_check(
        "looks_like_its_cohort",
        "nuclei",
        "Stain and density are like those of the other slides of its cohort, or of all slides "
        "where it has none. Thresholds: `drift` in checks.json.",
    ),
]


def verdict(name: str, finding: Finding) -> dg.AssetCheckResult:
    """A finding as Dagster shows it."""
    is_error = finding.severity == "error"
    return dg.AssetCheckResult(
        check_name=name,
        passed=finding.passed,
        severity=dg.AssetCheckSeverity.ERROR if is_error else dg.AssetCheckSeverity.WARN,
        description=finding.text,
        metadata=dict(finding.numbers),
    )
