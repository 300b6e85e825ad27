"""Cells as QuPath imports them, and cytoplasm alone for programs that want no cells."""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from hoverfast_platform.nuclei.identity import nucleus_ids
from hoverfast_platform.nuclei.nucleus import Measurement, Nuclei
from hoverfast_platform.storage.geojson import CLASSIFICATION, FeaturesPart
from hoverfast_platform.storage.gzip_parts import deflate

_BETWEEN = b",\n"
_FEATURES_AT_ONCE = 500


class CellPart(Enum):
    """What is written of each cell."""

    CELL = "cell"
    CYTOPLASM = "cytoplasm"


def deflate_cells(
    nuclei: Nuclei,
    cells: Nuclei,
    named: Sequence[Measurement],
    namespace: uuid.UUID,
    part: CellPart = CellPart.CELL,
) -> FeaturesPart:
    """Features of some cells, compressed: a piece of a GeoJSON file.

    A cell is QuPath's cell object with the nucleus in it. Cytoplasm is a detection with a hole, and
    cells that have none are left out.

    Args:
        nuclei: ``N`` rows.
        cells: Their cells, with measurements.
        named: The measurements to write, with QuPath's names.
        namespace: Namespace of the cells' ids, which are those of their outlines.
        part: What is written.
    """
    if part is CellPart.CELL:
        texts = [_coordinates(cells, i) for i in range(len(cells))]
        shapes = [f'"geometry":{outline},"nucleusGeometry":{_coordinates(nuclei, i)}'
                  for i, outline in enumerate(texts)]  # fmt: skip
        kind, kept = "cell", np.arange(len(cells))
    else:
        geometries = _cytoplasm(nuclei, cells)
        kept = np.flatnonzero(~shapely.is_empty(geometries))
        shapes = [f'"geometry":{text}' for text in shapely.to_geojson(geometries[kept])]
        kind = "detection"
    columns = [cells.measurements[m.column][kept].tolist() for m in named]
    names = [json.dumps(m.qupath_name, ensure_ascii=False) for m in named]
    ids = nucleus_ids(cells.take(kept), namespace)
    lines = (
        _feature(ids[i], shapes[i], kind, names, [column[i] for column in columns])
        for i in range(len(kept))
    )
    groups = iter(lambda: list(itertools.islice(lines, _FEATURES_AT_ONCE)), [])
    chunks = (_BETWEEN * (i > 0) + _BETWEEN.join(group) for i, group in enumerate(groups))
    return FeaturesPart(deflate(chunks), len(kept))


def _feature(
    identity: str, shape: str, kind: str, names: Sequence[str], values: Sequence[float]
) -> bytes:
    measured = ",".join(
        f"{name}:{value:.5g}"
        for name, value in zip(names, values, strict=True)
        if value == value  # NaN: not measured, so not written
    )
    classification = json.dumps(CLASSIFICATION, separators=(",", ":"))
    return (
        f'{{"type":"Feature","id":"{identity}",{shape},'
        f'"properties":{{"objectType":"{kind}","classification":{classification},'
        f'"measurements":{{{measured}}}}}}}'
    ).encode()


def _coordinates(outlines: Nuclei, i: int) -> str:
    ring = outlines.ring(i).round(outlines.decimals).tolist()
    text = json.dumps(ring, separators=(",", ":"))
    return f'{{"type":"Polygon","coordinates":[{text}]}}'


def _cytoplasm(nuclei: Nuclei, cells: Nuclei) -> npt.NDArray[np.object_]:
    """Cells without their nuclei, valid on the grid of written coordinates."""
    step = 10.0**-cells.decimals
    found = shapely.difference(cells.polygons(), nuclei.polygons(), grid_size=step)
    rounded = shapely.transform(found, lambda xy: np.round(xy, cells.decimals))
    parts, row_of = shapely.get_parts(rounded, return_index=True)
    is_area = (shapely.area(parts) > 0) & shapely.is_valid(parts)
    whole: npt.NDArray[np.object_] = np.full(len(cells), shapely.Polygon(), np.object_)
    for row, group in _grouped(parts[is_area], row_of[is_area]):
        whole[row] = group[0] if len(group) == 1 else shapely.multipolygons(group)
    return whole


def _grouped(
    parts: npt.NDArray[np.object_], row_of: npt.NDArray[np.int64]
) -> Iterator[tuple[int, Any]]:
    if not len(parts):
        return
    starts = np.flatnonzero(np.concatenate([[True], np.diff(row_of) > 0]))
    for start, group in zip(starts, np.split(parts, starts[1:]), strict=True):
        yield int(row_of[start]), group
