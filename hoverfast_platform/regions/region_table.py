"""The figures of regions as one tidy table over all slides: a row for each region and class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from hoverfast_platform.errors import SettingsError, StorageError
from hoverfast_platform.files import written_atomically
from hoverfast_platform.nuclei.nucleus import MEASUREMENTS
from hoverfast_platform.regions.counting import RegionFigures
from hoverfast_platform.storage.nuclei_table import DAMAGED_TABLE

REGIONS_TABLE = "regions"
"""Stem of the table in a folder of results, as ``.csv`` and ``.parquet``."""

_DETAILED = "area_um2"
_QUANTILES = ("p5", "p25", "p75", "p95")
_DAB = ("n_negative", "n_weak", "n_moderate", "n_strong", "positive_fraction", "h_score")


@dataclass(frozen=True)
class SlideFigures:
    """What was counted on one slide.

    Attributes:
        slide: Stem of its result, with folders before it where several have that stem.
        slide_sha256: Digest of the slide; empty where it is not known.
        rows: Regions and classes.
    """

    slide: str
    slide_sha256: str
    rows: tuple[RegionFigures, ...]


def as_table(slides: Sequence[SlideFigures]) -> pa.Table:
    """All rows of all slides; what is not known or was not measured is null.

    Columns that no slide has are left out, so that H&E slides have none of DAB.
    """
    measured = {name for slide in slides for row in slide.rows for name in row.distributions}
    columns = [m.column for m in MEASUREMENTS if m.column in measured]
    columns += sorted(measured - set(columns))
    has_dab = any(row.dab is not None for slide in slides for row in slide.rows)
    schema = _schema(columns, has_dab=has_dab)
    rows = [_row(slide, figures) for slide in slides for figures in slide.rows]
    return pa.table({name: [row.get(name) for row in rows] for name in schema.names}, schema=schema)


def write_region_table(path: Path, slides: Sequence[SlideFigures]) -> None:
    """Write the table, CSV or Parquet by its ending; it appears whole or not at all.

    Raises:
        SettingsError: If the ending is neither.
        StorageError: If it cannot be written.
    """
    if path.suffix not in (".csv", ".parquet"):
        raise SettingsError(f"{path.name} has no known ending.", "Known are .csv and .parquet.")
    _write(path, as_table(slides))


def _write(path: Path, table: pa.Table) -> None:
    with written_atomically(path) as part:
        if path.suffix == ".csv":
            pa_csv.write_csv(table, part)
        else:
            pq.write_table(table, part, compression="zstd")


def update_region_table(folder: Path, slides: Sequence[SlideFigures]) -> tuple[Path, Path]:
    """Put the rows of slides into a folder's table, in place of their older ones.

    Returns:
        The table as CSV and as Parquet.

    Raises:
        StorageError: If the table that is there is damaged, or cannot be written.
    """
    csv, parquet = folder / f"{REGIONS_TABLE}.csv", folder / f"{REGIONS_TABLE}.parquet"
    table = as_table(slides)
    if parquet.is_file():
        old = _read(parquet)
        is_new = pa.compute.is_in(old["slide"], pa.array([slide.slide for slide in slides]))
        kept = old.filter(pa.compute.invert(is_new))
        table = pa.concat_tables([table, kept], promote_options="default")
        last = table.column_names.index("remarks")
        names = [*table.column_names[:last], *table.column_names[last + 1 :], "remarks"]
        table = table.select(names).sort_by(
            [("slide", "ascending"), ("region_number", "ascending")]
        )
    _write(csv, table)
    _write(parquet, table)
    return csv, parquet


def read_region_table(path: Path) -> list[dict[str, Any]]:
    """Rows of a Parquet table that :func:`write_region_table` wrote.

    Raises:
        StorageError: If it cannot be read.
    """
    rows: list[dict[str, Any]] = _read(path).to_pylist()
    return rows


def _read(path: Path) -> pa.Table:
    try:
        return pq.read_table(path)
    except DAMAGED_TABLE as error:
        raise StorageError(f"{path} is not a readable table: {error}.", "Make it anew.") from error


def _schema(columns: Sequence[str], *, has_dab: bool) -> pa.Schema:
    fields = [
        ("slide", pa.string()),
        ("slide_sha256", pa.string()),
        ("region_number", pa.int32()),
        ("region", pa.string()),
        ("region_class", pa.string()),
        ("nucleus_class", pa.string()),
        ("n_nuclei", pa.int64()),
        ("region_area_mm2", pa.float64()),
        ("tissue_area_mm2", pa.float64()),
        ("nuclei_per_mm2", pa.float64()),
        ("nuclei_per_region_mm2", pa.float64()),
    ]
    if has_dab:
        fields += [(name, pa.int64() if name.startswith("n_") else pa.float64()) for name in _DAB]
    for column in columns:
        fields += [(f"{column}_{statistic}", pa.float64()) for statistic in _statistics(column)]
    return pa.schema([*fields, ("remarks", pa.string())])


def _statistics(column: str) -> tuple[str, ...]:
    """Names of what is said of a measurement: more of areas than of others."""
    return ("mean", "sd", "p50", *(_QUANTILES if column == _DETAILED else ()))


def _row(slide: SlideFigures, figures: RegionFigures) -> dict[str, Any]:
    row: dict[str, Any] = {
        "slide": slide.slide,
        "slide_sha256": slide.slide_sha256,
        "region_number": figures.region_number,
        "region": figures.region,
        "region_class": figures.region_class,
        "nucleus_class": figures.nucleus_class,
        "n_nuclei": figures.n_nuclei,
        "region_area_mm2": figures.region_area_mm2,
        "tissue_area_mm2": figures.tissue_area_mm2,
        "nuclei_per_mm2": figures.nuclei_per_mm2,
        "nuclei_per_region_mm2": figures.nuclei_per_region_mm2,
        "remarks": "; ".join(figures.remarks),
    }
    if figures.dab is not None:
        row |= figures.dab.model_dump()
    for column, distribution in figures.distributions.items():
        for statistic in _statistics(column):
            row[f"{column}_{statistic}"] = getattr(distribution, statistic)
    return row
