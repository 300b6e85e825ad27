"""The table of nuclei, GeoParquet."""

from __future__ import annotations

from pathlib import Path

from hoverfast_platform.storage.exporters.exporter import Exporter, NucleiSource
from hoverfast_platform.storage.nuclei_table import write_nuclei_table


def _write(source: NucleiSource, path: Path, _per_piece: int) -> None:
    write_nuclei_table(
        path,
        source.blocks(),
        source.columns,
        metadata=source.provenance,
        namespace=source.namespace,
    )


EXPORTER = Exporter(
    name="parquet",
    extensions=(".parquet",),
    what="the table, GeoParquet 1.1",
    opens_in="pandas, geopandas, R, DuckDB, QGIS",
    write=_write,
)
