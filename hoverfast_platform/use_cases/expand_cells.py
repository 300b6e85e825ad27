"""Results to cells: outlines around every nucleus, and what is measured in their compartments."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hoverfast_platform.cells.cell_files import CellPart, deflate_cells
from hoverfast_platform.cells.compartments import (
    cell_measurements,
    measure_shapes,
    measure_stains,
)
from hoverfast_platform.cells.expansion import CellExpansion, Piece, SlideCells
from hoverfast_platform.config import Scale, Staining
from hoverfast_platform.errors import SettingsError, UnreadableSlideError
from hoverfast_platform.files import written_atomically
from hoverfast_platform.mask.held_result import mask_of_result
from hoverfast_platform.nuclei.identity import nucleus_ids
from hoverfast_platform.nuclei.nucleus import Nuclei
from hoverfast_platform.provenance import Provenance
from hoverfast_platform.slide import SlideReader, open_slide
from hoverfast_platform.slide.digest import slide_digest
from hoverfast_platform.slide.resample import read_region_at
from hoverfast_platform.storage.geojson import FeaturesPart, join_features
from hoverfast_platform.storage.nuclei_by_row import NucleiByRow
from hoverfast_platform.storage.nuclei_table import NucleiTableWriter, read_table_metadata
from hoverfast_platform.storage.publish import TABLE

CELLS, CYTOPLASM = ".cells.json.gz", ".cytoplasm.json.gz"
"""Endings of the files that are written beside a result."""
CELL_TABLE = ".cells.parquet"


@dataclass(frozen=True)
class ExpandedCells:
    """The cells of a result.

    Attributes:
        qupath_path: Cells, or cytoplasm, for QuPath.
        table_path: One row for each cell, with its nucleus's id.
        n_cells: Rows of the table.
        n_written: Objects in the file for QuPath; fewer where cells have no cytoplasm.
        notes: What a person should know.
    """

    qupath_path: Path
    table_path: Path
    n_cells: int
    n_written: int
    notes: tuple[str, ...]


def expand_cells(
    result: Path,
    *,
    expansion: CellExpansion = CellExpansion(),
    slide: Path | None = None,
    part: CellPart = CellPart.CELL,
) -> ExpandedCells:
    """Make the cells of a result, and write them beside it.

    Args:
        result: The ``.parquet`` of a slide.
        expansion: How far cells reach, and on which grid they grow.
        slide: The slide's file, to measure stains in the compartments; None measures shapes only.
        part: Whether cells are written for QuPath, or their cytoplasm alone.

    Raises:
        SettingsError: If the table is not a slide's.
        MaskError: If the mask beside it is another one.
        UnreadableSlideError: If ``slide`` is another slide.
        StorageError: If a file cannot be read or written.
    """
    provenance = Provenance.found_in(read_table_metadata(result), result.name)
    if provenance is None or not result.name.endswith(TABLE):
        raise SettingsError(
            f"{result.name} is not the table of a slide's result.",
            "Give OUT/<stem>.parquet of infer_wsi.",
        )
    tissue, notes = mask_of_result(result, provenance)
    stem = result.name.removesuffix(TABLE)
    ending = CELLS if part is CellPart.CELL else CYTOPLASM
    qupath_path, table_path = result.with_name(stem + ending), result.with_name(stem + CELL_TABLE)
    staining = Staining.model_validate(provenance.settings.get("staining", {}))
    named = cell_measurements(staining.stain if slide is not None else None)
    record = {
        "nuclei": provenance.model_dump(mode="json"),
        "cells": expansion.model_dump(mode="json", exclude={"piece_px"}),
    }
    namespace = uuid.UUID(provenance.segmentation_id)
    with ExitStack() as stack:
        nuclei = stack.enter_context(NucleiByRow(result))
        cells = SlideCells(nuclei, provenance.slide, tissue, expansion)
        reader = None if slide is None else stack.enter_context(_opened(slide, provenance))
        part_path = stack.enter_context(written_atomically(table_path))
        columns = [m.column for m in named]
        table = stack.enter_context(NucleiTableWriter(part_path, columns, record))

        def parts() -> Iterator[FeaturesPart]:
            for piece in cells.pieces():
                own = nuclei.take(piece.rows)
                measured = _measured(piece, own, cells, reader, staining)
                table.write(measured, _id_bytes(own, namespace))
                yield deflate_cells(own, measured, named, namespace, part)

        with written_atomically(qupath_path) as file:
            n_written = join_features(file, parts(), provenance=record)
    return ExpandedCells(qupath_path, table_path, len(nuclei), n_written, notes)


def _opened(path: Path, provenance: Provenance) -> SlideReader:
    """The slide of a result, open.

    Raises:
        UnreadableSlideError: If it is another one.
    """
    source = provenance.slide
    if slide_digest(path) != source.sha256:
        raise UnreadableSlideError(
            f"{path.name} is not the slide of this result, or it changed since.",
            "Give the slide that was segmented.",
        )
    override = source.mpp_x if source.mpp_source == "override" else None
    return open_slide(path, Scale(mpp_override=override))


def _measured(
    piece: Piece, nuclei: Nuclei, cells: SlideCells, reader: SlideReader | None, staining: Staining
) -> Nuclei:
    columns = measure_shapes(nuclei, piece.cells, cells.slide.mpp)
    if reader is not None:
        rgb = read_region_at(reader, cells.lattice, piece.box)
        columns |= measure_stains(piece, rgb, staining.stain)
    return replace(piece.cells, measurements=columns)


def _id_bytes(nuclei: Nuclei, namespace: uuid.UUID) -> Any:
    texts = nucleus_ids(nuclei, namespace)
    ids = b"".join(uuid.UUID(text).bytes for text in texts)
    return np.frombuffer(ids, np.uint8).reshape(-1, 16)
