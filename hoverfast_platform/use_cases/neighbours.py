"""Results to the neighbourhood of their nuclei."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow.parquet as pq

from hoverfast_platform.errors import SettingsError
from hoverfast_platform.mask.held_result import mask_of_result
from hoverfast_platform.neighbourhood.measure import NeighbourhoodSettings, measure_neighbourhood
from hoverfast_platform.neighbourhood.neighbour_table import write_neighbour_table
from hoverfast_platform.provenance import Provenance
from hoverfast_platform.storage.nuclei_table import read_table_metadata
from hoverfast_platform.use_cases.outcome import Outcome, each


@dataclass(frozen=True)
class MeasuredNeighbours:
    """What was written of one result.

    Attributes:
        path: The table.
        n_nuclei: Its rows.
        notes: What a person should know.
    """

    path: Path
    n_nuclei: int
    notes: tuple[str, ...]


NeighboursOutcome: TypeAlias = Outcome[Path, MeasuredNeighbours]


def measure_neighbours(
    results: Sequence[Path], *, settings: NeighbourhoodSettings = NeighbourhoodSettings()
) -> Iterator[NeighboursOutcome]:
    """Measure how nuclei lie among each other; one outcome per result, in order.

    Args:
        results: ``.parquet`` of slides; ``<stem>.neighbours.parquet`` is written beside each.
        settings: What counts as a neighbour.
    """

    def measure(path: Path) -> MeasuredNeighbours:
        provenance = Provenance.found_in(read_table_metadata(path), path.name)
        if provenance is None:
            raise SettingsError(
                f"{path.name} is not the table of a slide's result.",
                "Give the -o folder of infer_wsi, or OUT/<stem>.parquet.",
            )
        tissue, notes = mask_of_result(path, provenance)
        table = pq.read_table(path, columns=["centroid_x", "centroid_y"])
        centroid_xy = np.stack([column.to_numpy() for column in table.columns], axis=1)
        columns = measure_neighbourhood(centroid_xy, provenance.slide.mpp, tissue, settings)
        written = write_neighbour_table(path, columns, provenance.segmentation_id, settings)
        return MeasuredNeighbours(written, len(centroid_xy), notes)

    return each(results, measure, record_failure=lambda _path, _error: None)
