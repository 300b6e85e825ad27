"""The JSON beside a result: what was found, how well, from what, by what."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
from pydantic import Field

from hoverfast_platform.config import Settings, Staining
from hoverfast_platform.errors import StorageError
from hoverfast_platform.files import reporting_content
from hoverfast_platform.nuclei.seams import SeamAudit
from hoverfast_platform.provenance import Provenance
from hoverfast_platform.storage.sealed import sealed, unsealed


class Seams(Settings):
    """See :class:`hoverfast_platform.nuclei.seams.SeamAudit`."""

    n_near_seams: int
    n_duplicates: int
    density_ratio: float | None
    """None where it cannot be told."""

    @classmethod
    def of(cls, audit: SeamAudit) -> Seams:
        """An audit as it is written."""
        return cls(
            n_near_seams=audit.n_near_seams,
            n_duplicates=audit.n_duplicates,
            density_ratio=None if math.isnan(audit.density_ratio) else audit.density_ratio,
        )


class Distribution(Settings):
    """How one measurement is distributed over the nuclei that have it."""

    mean: float
    sd: float
    p5: float
    p25: float
    p50: float
    p75: float
    p95: float

    @classmethod
    def of(cls, values: npt.NDArray[np.floating]) -> Distribution | None:
        """The distribution of the finite values among ``(N,)``; None if no value is finite."""
        finite = values[np.isfinite(values)].astype(np.float64)
        if not len(finite):
            return None
        p5, p25, p50, p75, p95 = np.percentile(finite, [5, 25, 50, 75, 95])
        figures = [finite.mean(), finite.std(), p5, p25, p50, p75, p95]
        named = zip(cls.model_fields, figures, strict=True)
        return cls(**{name: float(f"{figure:.5g}") for name, figure in named})


class DabPositivity(Settings):
    """How many nuclei a DAB antibody stains, and how strongly."""

    n_negative: int
    n_weak: int
    n_moderate: int
    n_strong: int
    positive_fraction: float | None
    """Share of all nuclei, 0..1; None without nuclei."""
    h_score: float | None
    """Percent weak + 2 percent moderate + 3 percent strong, 0..300; None without nuclei."""

    @classmethod
    def of(cls, dab_od_mean: npt.NDArray[np.floating], staining: Staining) -> DabPositivity:
        """Judge nuclei by their mean DAB density and the settings' thresholds."""
        limits = [staining.dab_weak_od, staining.dab_moderate_od, staining.dab_strong_od]
        grade = np.searchsorted(limits, dab_od_mean, side="right")
        negative, weak, moderate, strong = np.bincount(grade, minlength=4).tolist()
        n = len(dab_od_mean)
        return cls(
            n_negative=negative,
            n_weak=weak,
            n_moderate=moderate,
            n_strong=strong,
            positive_fraction=(n - negative) / n if n else None,
            h_score=100 * (weak + 2 * moderate + 3 * strong) / n if n else None,
        )


class SegmentationSummary(Settings):
    """One segmentation of a slide or of a flat image in figures."""

    provenance: Provenance
    n_nuclei: int
    tissue_area_mm2: float
    """Where nuclei were looked for; the whole of a flat image."""
    stain_factors: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Factors of optical density (red, green, blue) with which the model saw the slide; 1: none."""
    exposure_gain: float = 1.0
    """Factor by which brightness was multiplied before that; 1: left as it was."""
    tissue_fraction: float
    nuclei_per_mm2: float | None
    """None without tissue."""
    distributions: dict[str, Distribution] = Field(default_factory=dict)
    """The distribution of every measurement, by column; empty without nuclei."""
    dab: DabPositivity | None = None
    """With ``ihc_dab`` staining only."""
    n_dropped_invalid: int = 0
    """Nuclei for which no valid polygon could be written."""
    n_tiles: int
    n_tiles_resumed: int = 0
    seams: Seams
    warnings: tuple[str, ...] = ()
    seconds: dict[str, float] = Field(default_factory=dict)
    """Wall clock ``total`` and, summed over processes, each phase; phases overlap."""
    seconds_per_mm2: float | None = None
    run_id: str = ""
    finished_at: str
    files: dict[str, str] = Field(default_factory=dict)
    """File name to SHA-256."""

    def write(self, path: Path) -> None:
        """Write as JSON that ends with its own digest."""
        path.write_text(sealed(self.model_dump_json(indent=2)), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read one back.

        Raises:
            StorageError: If it is missing, was edited, or is not a summary.
        """
        remedy = "It is damaged or of another version; move it away."
        with reporting_content(path, "a readable summary", remedy, StorageError):
            return cls.model_validate_json(unsealed(path.read_text(encoding="utf-8")))
