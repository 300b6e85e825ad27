"""Nuclei as the GeoJSON that QuPath imports as detections, streamed through gzip.

Rules are QuPath's own (``QuPathTypeAdapters``, ``GsonTools``, checked at 0.8.0-SNAPSHOT);
``qupath_validation`` tests a file against them.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from isal import igzip

from hoverfast_platform.nuclei.identity import nucleus_ids
from hoverfast_platform.nuclei.nucleus import MEASUREMENTS, Nuclei

CLASSIFICATION = {"name": "Nucleus", "color": [200, 30, 30]}
"""Name *and* colour: QuPath fails on a classification without colour."""

_QUPATH_NAME = {m.column: m.qupath_name for m in MEASUREMENTS}


def write_geojson(
    path: Path, blocks: Iterable[Nuclei], *, provenance: Mapping[str, Any], namespace: uuid.UUID
) -> int:
    """Write a gzip FeatureCollection, one feature per line; equal input gives equal bytes.

    Args:
        path: Where; the caller renames it when all is well.
        blocks: Nuclei in the order to write.
        provenance: Written first, as a member QuPath ignores.
        namespace: Of the nuclei's ids.

    Returns:
        The number of features.
    """
    n = 0
    with (
        path.open("wb") as raw,
        igzip.IGzipFile(filename="", fileobj=raw, mode="wb", compresslevel=2, mtime=0) as file,
    ):
        head = json.dumps(provenance, ensure_ascii=False, sort_keys=True)
        file.write(f'{{"type":"FeatureCollection","provenance":{head},"features":['.encode())
        for nuclei in blocks:
            for feature in iter_features(nuclei, namespace):
                file.write((",\n" if n else "\n").encode() + feature)
                n += 1
        file.write(b"\n]}\n")
    return n


def iter_features(nuclei: Nuclei, namespace: uuid.UUID) -> Iterator[bytes]:
    """Each nucleus as one line of JSON."""
    coordinates = nuclei.vertices_xy.round(nuclei.decimals)
    rows = (coordinates.astype(int) if nuclei.decimals == 0 else coordinates).tolist()
    starts = nuclei.ring_starts.tolist()
    names = [
        json.dumps(_QUPATH_NAME.get(name, name), ensure_ascii=False) for name in nuclei.measurements
    ]
    columns = [column.tolist() for column in nuclei.measurements.values()]
    ids = nucleus_ids(nuclei, namespace)
    tail = json.dumps(CLASSIFICATION, separators=(",", ":"))
    for i in range(len(nuclei)):
        ring = (
            str(rows[starts[i] : starts[i + 1]])
            .replace(" ", "")
            .replace(".0,", ",")
            .replace(".0]", "]")
        )
        measured = ",".join(
            f"{name}:{column[i]:.5g}"
            for name, column in zip(names, columns, strict=True)
            if column[i] == column[i]  # NaN: not measured, so not written
        )
        yield (
            f'{{"type":"Feature","id":"{ids[i]}",'
            f'"geometry":{{"type":"Polygon","coordinates":[{ring}]}},'
            f'"properties":{{"objectType":"detection","classification":{tail},'
            f'"measurements":{{{measured}}}}}}}'
        ).encode()
