"""Nuclei as the GeoJSON that QuPath imports as detections, streamed through gzip.

Rules are QuPath's own (``QuPathTypeAdapters``, ``GsonTools``, checked at 0.8.0-SNAPSHOT);
``qupath_validation`` tests a file against them.
"""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hoverfast_platform.nuclei.identity import nucleus_ids
from hoverfast_platform.nuclei.nucleus import MEASUREMENTS, Nuclei
from hoverfast_platform.storage.gzip_parts import GzipPart, deflate, write_gzip

CLASSIFICATION = {"name": "Nucleus", "color": [200, 30, 30]}
"""Name *and* colour: QuPath fails on a classification without colour."""

_BETWEEN = b",\n"
_FEATURES_AT_ONCE = 500

_QUPATH_NAME = {m.column: m.qupath_name for m in MEASUREMENTS}


@dataclass(frozen=True)
class FeaturesPart:
    """Features of some nuclei, compressed: a piece of the file that is still to be written.

    Attributes:
        text: Features with what separates them, but nothing at either end.
        n: How many.
    """

    text: GzipPart
    n: int

    def stored(self) -> bytes:
        """The part as bytes for a file; :meth:`read` takes them."""
        return self.n.to_bytes(8, "little") + self.text.stored()

    @classmethod
    def read(cls, stored: bytes) -> FeaturesPart:
        """What :meth:`stored` gave."""
        return cls(GzipPart.read(stored[8:]), int.from_bytes(stored[:8], "little"))

    def lines(self) -> list[bytes]:
        """Each feature's text.

        Raises:
            StorageError: If they are not those that were compressed.
        """
        return self.text.text().split(_BETWEEN) if self.n else []


def deflate_features(nuclei: Nuclei, namespace: uuid.UUID) -> FeaturesPart:
    """A block's part of the file; ``namespace`` is that of the nuclei's ids."""
    features = iter_features(nuclei, namespace)
    groups = iter(lambda: list(itertools.islice(features, _FEATURES_AT_ONCE)), [])
    chunks = (_BETWEEN * (i > 0) + _BETWEEN.join(group) for i, group in enumerate(groups))
    return FeaturesPart(deflate(chunks), len(nuclei))


def write_geojson(
    path: Path, blocks: Iterable[Nuclei], *, provenance: Mapping[str, Any], namespace: uuid.UUID
) -> int:
    """Write a gzip FeatureCollection, one feature per line; equal input gives equal bytes.

    Args:
        path: Where; the caller renames it when all is well.
        blocks: Nuclei in the order to write.
        provenance: Written first, as a member QuPath ignores.
        namespace: Namespace of the nuclei's ids.

    Returns:
        The number of features.
    """
    parts = (deflate_features(nuclei, namespace) for nuclei in blocks)
    return join_features(path, parts, provenance=provenance)


def join_features(
    path: Path, parts: Iterable[FeaturesPart], *, provenance: Mapping[str, Any]
) -> int:
    """What :func:`write_geojson` writes, of blocks compressed before."""
    n = 0

    def counted() -> Iterator[FeaturesPart]:
        nonlocal n
        for part in parts:
            n += part.n
            yield part

    with path.open("wb") as file:
        write_gzip(file, collection(counted(), provenance=provenance))
    return n


def collection(
    parts: Iterable[FeaturesPart], *, provenance: Mapping[str, Any]
) -> Iterator[GzipPart]:
    """A FeatureCollection's text, of blocks compressed before."""
    head = json.dumps(provenance, ensure_ascii=False, sort_keys=True)
    yield deflate([f'{{"type":"FeatureCollection","provenance":{head},"features":['.encode()])
    separator, between = deflate([b"\n"]), deflate([_BETWEEN])
    for part in parts:
        if part.n:
            yield separator
            yield part.text
            separator = between
    yield deflate([b"\n]}\n"])


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
