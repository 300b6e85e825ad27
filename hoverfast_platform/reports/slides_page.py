"""A page that compares slides, and cohorts of them: distributions, density maps, outliers.

Made from the table of ``hoverfast summarise`` and the tables of nuclei; no slide is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from hoverfast_platform.errors import StorageError
from hoverfast_platform.nuclei.nucleus import MEASUREMENTS
from hoverfast_platform.provenance import Provenance
from hoverfast_platform.reports.cohort_comparison import (
    MIN_SLIDES,
    CohortsOfSlides,
    compare_cohorts,
)
from hoverfast_platform.reports.page import (
    Block,
    Heading,
    Histogram,
    Paragraph,
    Picture,
    Table,
    write_page,
)
from hoverfast_platform.storage.nuclei_table import read_measurement, read_table_metadata
from hoverfast_platform.storage.previews import draw_density_of, encode_jpeg

_MIN_SLIDES = 5
"""Fewer slides do not show what is usual."""
_MAX_SCORE = 3.5
"""Iglewicz and Hoaglin's limit of the modified z-score."""
_TO_SIGMA = 1.4826
_MAP_PX = 320
_N_BARS = 40
COMPARED = (
    "nuclei_per_mm2", "area_um2_p50", "solidity_p50", "hematoxylin_od_mean_p50",
    "eosin_od_mean_p50", "dab_od_mean_p50", "positive_fraction", "confidence_p50",
    "nearest_um_p50", "local_density_per_mm2_p50", "delaunay_degree_p50",
)  # fmt: skip
_SHOWN = ("area_um2", "hematoxylin_od_mean", "dab_od_mean")
_LABELS = {m.column: m.qupath_name for m in MEASUREMENTS}


@dataclass(frozen=True)
class Outlier:
    """A slide that is unlike the others in one figure.

    Attributes:
        slide: Name of the slide.
        figure: The column in which it differs.
        value: Its value.
        median: Median of all slides.
        score: Its distance from the median in (robust) standard deviations.
    """

    slide: str
    figure: str
    value: float
    median: float
    score: float


def find_outliers(rows: Sequence[dict[str, Any]]) -> list[Outlier]:
    """Slides unlike the others, by the modified z-score of each figure; none where slides are few.

    Args:
        rows: One row for each slide, as ``hoverfast summarise`` writes them.
    """
    found = []
    for figure in COMPARED:
        known = [row for row in rows if row.get(figure) is not None]
        if len(known) < _MIN_SLIDES:
            continue
        values = np.array([row[figure] for row in known], np.float64)
        median = float(np.median(values))
        spread = _TO_SIGMA * float(np.median(np.abs(values - median)))
        if spread == 0:
            continue
        for row, value in zip(known, values.tolist(), strict=True):
            score = (value - median) / spread
            if abs(score) > _MAX_SCORE:
                found.append(Outlier(row["slide"], figure, value, median, score))
    return sorted(found, key=lambda one: -abs(one.score))


def write_slides_page(
    path: Path,
    rows: Sequence[dict[str, Any]],
    tables: Mapping[str, Path],
    cohorts: CohortsOfSlides = MappingProxyType({}),
) -> Path:
    """Write the page.

    Args:
        path: Where the page is written.
        rows: One row for each whole slide, as ``hoverfast summarise`` writes them.
        tables: The ``.parquet`` of slides, by their names in ``rows``.
        cohorts: Which slides belong together; without any, slides are compared only.

    Raises:
        StorageError: If there is no row, or the page cannot be written.
    """
    if not rows:
        raise StorageError("There are no slides to compare.", "Segment slides first.")
    return write_page(path, f"{len(rows)} slides side by side", _blocks(rows, tables, cohorts))


def _blocks(
    rows: Sequence[dict[str, Any]], tables: Mapping[str, Path], cohorts: CohortsOfSlides
) -> Iterable[Block]:
    figures = [one for one in COMPARED if any(row.get(one) is not None for row in rows)]
    yield Heading("Slides")
    yield Table(
        ("slide", "nuclei", *(one.replace("_", " ") for one in figures)),
        [
            (row["slide"], f"{row['n_nuclei']:,}", *(_text(row.get(one)) for one in figures))
            for row in rows
        ],
    )
    yield Heading("Unlike the others")
    yield from _outliers(rows)
    if cohorts:
        yield Heading("Cohorts")
        yield from _cohorts(rows, figures, cohorts)
    yield Heading("Between slides")
    for figure in figures:
        values = np.array([row[figure] for row in rows if row.get(figure) is not None])
        yield _histogram(f"{figure.replace('_', ' ')} of slides", values, n_bars=20)
    for cohort in sorted({name for names in cohorts.values() for name in names}):
        yield Heading(f"Slide by slide: {cohort}")
        for row in rows:
            if cohort in cohorts.get(row["slide"], ()):
                yield from _slide(row["slide"], tables.get(row["slide"]))
    others = [row["slide"] for row in rows if not cohorts.get(row["slide"])]
    if others:
        yield Heading("Slide by slide: of no cohort" if cohorts else "Slide by slide")
    for slide in others:
        yield from _slide(slide, tables.get(slide))


def _cohorts(
    rows: Sequence[dict[str, Any]], figures: Sequence[str], cohorts: CohortsOfSlides
) -> Iterable[Block]:
    n_in_none = sum(not cohorts.get(row["slide"]) for row in rows)
    if n_in_none:
        yield Paragraph(f"{n_in_none} slides are in no cohort and left out here.", "warn")
    compared = compare_cohorts(rows, figures, cohorts)
    if not compared:
        yield Paragraph("No figure is known of two cohorts.", "warn")
        return
    yield Paragraph(
        "Medians of slides, with first and third quartile. Each slide counts once, however many "
        f"nuclei it has. p: Mann-Whitney or Kruskal-Wallis, from {MIN_SLIDES} slides a cohort on "
        "and if no slide is in two; not corrected for the number of figures. Superiority: how "
        "often a slide of the second cohort has more than one of the first; 0.5 where they do not "
        "differ."
    )
    yield Table(
        ("figure", "cohort", "slides", "median", "quartiles", "p", "superiority"),
        [
            (
                one.figure.replace("_", " "),
                cohort.cohort,
                str(cohort.n_slides),
                _text(cohort.median),
                f"{_text(cohort.quartiles[0])} to {_text(cohort.quartiles[1])}",
                _text(one.p_value) if i == 0 else "",
                _text(one.superiority) if i == 0 else "",
            )
            for one in compared
            for i, cohort in enumerate(one.cohorts)
        ],
    )


def _outliers(rows: Sequence[dict[str, Any]]) -> Iterable[Block]:
    if len(rows) < _MIN_SLIDES:
        yield Paragraph(f"{len(rows)} slides are too few to say what is usual.")
        return
    found = find_outliers(rows)
    if not found:
        yield Paragraph(f"No figure of a slide is beyond {_MAX_SCORE} robust deviations.")
        return
    yield Table(
        ("slide", "figure", "value", "median of all", "robust deviations"),
        [
            (one.slide, one.figure.replace("_", " "), _text(one.value), _text(one.median),
             f"{one.score:+.1f}")
            for one in found
        ],
    )  # fmt: skip


def _slide(name: str, table: Path | None) -> Iterable[Block]:
    if table is None or not table.is_file():
        yield Paragraph(f"Its table of nuclei is not there: no map of {name}.", "warn")
        return
    provenance = Provenance.found_in(read_table_metadata(table), table.name)
    if provenance is not None:
        places = pq.read_table(table, columns=["centroid_x", "centroid_y"])
        density = draw_density_of(
            np.stack([column.to_numpy() for column in places.columns], axis=1),
            width_px=provenance.slide.width_px,
            height_px=provenance.slide.height_px,
            mpp=provenance.slide.mpp,
        )
        yield Picture(encode_jpeg(density, max_side_px=_MAP_PX), f"{name}: nuclei per mm2")
    columns = pq.read_schema(table).names
    for column in _SHOWN:
        if column in columns:
            values = read_measurement(table, column)
            yield _histogram(f"{name}: {_LABELS[column]}", values, n_bars=_N_BARS)


def _histogram(title: str, values: npt.NDArray[Any], *, n_bars: int) -> Histogram:
    """Bars of the finite values; the last per cent on the right is cut off."""
    finite = values[np.isfinite(values)].astype(np.float64)
    if not len(finite):
        return Histogram(f"{title}: nothing was measured", [0.0], 0.0, 1.0)
    low, high = float(finite.min()), float(np.percentile(finite, 99))
    counts, edges = np.histogram(finite, bins=n_bars, range=(low, max(high, low + 1e-3)))
    top = max(int(counts.max()), 1)
    shares = [n / top for n in counts.tolist()]
    return Histogram(f"{title}, tallest bar {top:,}", shares, float(edges[0]), float(edges[-1]))


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
