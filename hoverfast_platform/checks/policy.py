"""Thresholds and severities of the checks; a file ``checks.json`` holds what differs from here."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import Field

from hoverfast_platform.config import Settings
from hoverfast_platform.files import read_settings_file_if_any

Severity: TypeAlias = Literal["warn", "error", "off"]


class MaskCheck(Settings):
    """Is there tissue, and anything else, and how much tissue was lost to artefacts?"""

    severity: Severity = "warn"
    """What a failed check counts as: `warn`, `error`, or `off`, and it is not asked."""
    min_tissue_fraction: float = Field(default=0.002, ge=0, le=1)
    """A slide with less is blank, or its tissue too pale to be found."""
    max_tissue_fraction: float = Field(default=0.98, ge=0, le=1)
    """With more, glass was probably taken for tissue; crops without glass have it, too."""
    min_tissue_mm2: float = Field(default=0.05, ge=0)
    """Less tissue than this holds a few hundred nuclei at most."""
    max_lost_fraction: float = Field(default=0.5, ge=0, le=1)
    """The share of the tissue that may be lost to pen, blur, folds and the like."""


class DensityCheck(Settings):
    """Do the nuclei fit the tissue? Lymph nodes have some 15,000 per mm2, fat below 100."""

    severity: Severity = "warn"
    """What a failed check counts as: `warn`, `error`, or `off`, and it is not asked."""
    min_nuclei_per_mm2: float = Field(default=50, ge=0)
    """With fewer the model found hardly any nuclei, or the tissue is fat."""
    max_nuclei_per_mm2: float = Field(default=20_000, ge=0)
    """With more something else was taken for nuclei, or nuclei were broken up."""
    min_tissue_mm2: float = Field(default=0.01, ge=0)
    """On less tissue a density says nothing."""


class SeamCheck(Settings):
    """Were nuclei doubled or lost where tiles meet?"""

    severity: Severity = "warn"
    """What a failed check counts as: `warn`, `error`, or `off`, and it is not asked."""
    max_doubled_share: float = Field(default=0.002, ge=0, le=1)
    """The share of the nuclei near seams that may be there twice."""
    min_density_ratio: float = Field(default=0.7, ge=0)
    """Nuclei per area near seams over elsewhere; 1 when none is lost."""
    max_density_ratio: float = Field(default=1.4, ge=0)
    """With more, nuclei near seams are there twice."""
    min_nuclei: int = Field(default=500, ge=1)
    """With fewer near seams the ratio is chance."""


class QuPathCheck(Settings):
    """Would QuPath import the whole file?"""

    severity: Severity = "error"
    """What a failed check counts as: `warn`, `error`, or `off`, and it is not asked."""
    max_nuclei: int = Field(default=2_000_000, ge=0)
    """Files with more nuclei are not read back, to save time."""


class DriftCheck(Settings):
    """Does a slide look like the others of its cohort?"""

    severity: Severity = "warn"
    """What a failed check counts as: `warn`, `error`, or `off`, and it is not asked."""
    max_deviations: float = Field(default=4, gt=0)
    """Robust standard deviations from the cohort's median."""
    min_slides: int = Field(default=8, ge=3)
    """Fewest other slides of a cohort to compare with; with fewer, nothing is compared."""


class GateSeverity(Settings):
    """How a student is shown that may not be promoted. Its thresholds are in its plan."""

    severity: Literal["warn", "error"] = "warn"
    """What a refused student counts as in the check `model_gate`."""


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
