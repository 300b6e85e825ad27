"""Cohorts of slides held against each other, figure by figure.

What is counted are slides, never nuclei: the nuclei of one slide do not vary independently.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import stats

from hoverfast_platform.errors import SettingsError

CohortsOfSlides: TypeAlias = Mapping[str, tuple[str, ...]]
"""Names of the cohorts of every slide, by the stem of its result."""

MIN_SLIDES = 3
"""Fewer slides in a cohort allow no test."""


@dataclass(frozen=True)
class CohortFigure:
    """A figure of one cohort's slides.

    Attributes:
        cohort: Name of the cohort.
        n_slides: How many of its slides have the figure.
        median: Median of these.
        quartiles: First and third quartile.
    """

    cohort: str
    n_slides: int
    median: float
    quartiles: tuple[float, float]


@dataclass(frozen=True)
class Comparison:
    """One figure in all cohorts.

    Attributes:
        figure: Name of the column.
        cohorts: Its values, in order of name.
        p_value: Of Mann and Whitney's test for two cohorts, of Kruskal and Wallis's for more; not
            corrected for the number of figures. None where a cohort has too few slides or a
            slide is in several cohorts.
        superiority: For two cohorts, how often a slide of the second has more than one of the
            first, ties counted half: 0.5 where they do not differ. None for more.
    """

    figure: str
    cohorts: tuple[CohortFigure, ...]
    p_value: float | None
    superiority: float | None


def read_cohorts(path: Path) -> CohortsOfSlides:
    """Read which slides belong to which cohort.

    Args:
        path: CSV with the columns ``slide`` (stem of the result) and ``cohort``; a slide of
            several cohorts has several rows.

    Raises:
        SettingsError: If it is not such a file.
    """
    remedy = "Give a CSV file with the columns slide and cohort, one row for each slide."
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SettingsError(
            f"{path} is not a readable table of cohorts: {error}.", remedy
        ) from error
    found: dict[str, tuple[str, ...]] = {}
    for number, row in enumerate(rows, 2):
        slide, cohort = (row.get("slide") or "").strip(), (row.get("cohort") or "").strip()
        if not slide or not cohort:
            raise SettingsError(f"Row {number} of {path.name} names no slide or no cohort.", remedy)
        found[slide] = tuple(dict.fromkeys((*found.get(slide, ()), cohort)))
    if not found:
        raise SettingsError(f"{path.name} names no slide.", remedy)
    return found


def compare_cohorts(
    rows: Sequence[dict[str, Any]], figures: Sequence[str], cohorts: CohortsOfSlides
) -> list[Comparison]:
    """Hold cohorts against each other; figures that fewer than two cohorts have are left out.

    Args:
        rows: One row for each slide, as ``hoverfast summarise`` writes them.
        figures: Columns to compare.
        cohorts: Which slides belong together; slides that are not named are left out.
    """
    names = sorted({name for slide in cohorts.values() for name in slide})
    is_split = all(len(cohorts.get(row["slide"], ())) <= 1 for row in rows)
    found = []
    for figure in figures:
        values = {name: _values(rows, figure, name, cohorts) for name in names}
        known = {name: of_slides for name, of_slides in values.items() if len(of_slides)}
        if len(known) > 1:
            found.append(_compared(figure, known, may_test=is_split))
    return found


def _values(
    rows: Sequence[dict[str, Any]], figure: str, cohort: str, cohorts: CohortsOfSlides
) -> npt.NDArray[np.float64]:
    found = [
        row[figure]
        for row in rows
        if row.get(figure) is not None and cohort in cohorts.get(row["slide"], ())
    ]
    values = np.array(found, np.float64)
    return values[np.isfinite(values)]


def _compared(
    figure: str, values: Mapping[str, npt.NDArray[np.float64]], *, may_test: bool
) -> Comparison:
    described = tuple(
        CohortFigure(
            name,
            len(of_slides),
            float(np.median(of_slides)),
            (float(np.quantile(of_slides, 0.25)), float(np.quantile(of_slides, 0.75))),
        )
        for name, of_slides in values.items()
    )
    samples = list(values.values())
    superiority = None
    if len(samples) == 2:
        first, second = samples
        more = (second[:, None] > first).mean() + (second[:, None] == first).mean() / 2
        superiority = float(more)
    may_test = may_test and min(map(len, samples)) >= MIN_SLIDES
    return Comparison(figure, described, _p_value(samples) if may_test else None, superiority)


def _p_value(samples: Sequence[npt.NDArray[np.float64]]) -> float | None:
    if np.ptp(np.concatenate(samples)) == 0:
        return None  # equal everywhere: there is nothing to test
    if len(samples) == 2:
        return float(stats.mannwhitneyu(*samples).pvalue)
    return float(stats.kruskal(*samples).pvalue)
