"""The table without outlines, as comma-separated values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from hoverfast_platform.nuclei.identity import nucleus_ids
from hoverfast_platform.storage.exporters.exporter import Exporter, NucleiSource


def _write(source: NucleiSource, path: Path, _per_piece: int) -> None:
    names = list(source.columns)
    schema = pa.schema(
        [
            ("id", pa.string()),
            ("centroid_x", pa.float64()),
            ("centroid_y", pa.float64()),
            ("tile", pa.int32()),
            *((name, pa.float32()) for name in names),
        ]
    )
    with pa_csv.CSVWriter(path, schema) as writer:
        for nuclei in source.blocks():
            columns = [
                pa.array(nucleus_ids(nuclei, source.namespace), pa.string()),
                nuclei.centroid_xy[:, 0].round(2),
                nuclei.centroid_xy[:, 1].round(2),
                nuclei.tile_index,
                # What was not measured is an empty field, which R reads as NA.
                *(
                    pa.array(nuclei.measurements[name], mask=np.isnan(nuclei.measurements[name]))
                    for name in names
                ),
            ]
            writer.write_table(pa.table(columns, schema=schema))


EXPORTER = Exporter(
    name="csv",
    extensions=(".csv",),
    what="the table without outlines; what was not measured is an empty field",
    opens_in="R, spreadsheets, anything",
    write=_write,
)
