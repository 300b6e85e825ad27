"""Nuclei from one form of file to any other."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hoverfast_platform.errors import SettingsError
from hoverfast_platform.files import file_sha256, written_atomically
from hoverfast_platform.geometry import Mpp
from hoverfast_platform.nuclei.nucleus import Nuclei
from hoverfast_platform.provenance import Provenance
from hoverfast_platform.storage.foreign_outlines import read_outlines
from hoverfast_platform.storage.geojson import deflate_features, write_geojson
from hoverfast_platform.storage.imported_nuclei import import_nuclei
from hoverfast_platform.storage.label_pyramid import label_pyramid_of_table
from hoverfast_platform.storage.nuclei_table import (
    read_nuclei_table,
    read_table_metadata,
    write_nuclei_table,
)
from hoverfast_platform.storage.qupath_shards import (
    NUCLEI_PER_SHARD,
    check_qupath_zip,
    write_qupath_zip,
)
from hoverfast_platform.storage.qupath_validation import validate_qupath_file
from hoverfast_platform.version import __version__

_BLOCK = 10_000
_GEOJSON = (".geojson", ".json", ".geojson.gz", ".json.gz")


@dataclass(frozen=True)
class _Source:
    """Nuclei and what is known of their slide."""

    nuclei: Nuclei
    provenance: Mapping[str, Any]
    namespace: uuid.UUID
    n_dropped: int = 0
    notes: tuple[str, ...] = ()

    def blocks(self) -> Iterator[Nuclei]:
        """The nuclei in pieces, so that writers need little room."""
        for start in range(0, len(self.nuclei), _BLOCK):
            yield self.nuclei.take(np.arange(start, min(start + _BLOCK, len(self.nuclei))))


@dataclass(frozen=True)
class Converted:
    """What a conversion wrote.

    Attributes:
        target: The file, or the folder of a Zarr.
        n_nuclei: Nuclei in it.
        n_dropped: Nuclei without a valid polygon, left out.
        notes: What else of the source was left out because it is not a nucleus.
    """

    target: Path
    n_nuclei: int
    n_dropped: int = 0
    notes: tuple[str, ...] = ()


def convert(
    source: Path, target: Path, *, mpp: float | None = None, per_shard: int = NUCLEI_PER_SHARD
) -> Converted:
    """Convert one file, by its suffix and the target's.

    Args:
        source: A ``.parquet`` of ours, or GeoJSON of the published tool, of QuPath or of ours.
        target: ``.json.gz``, ``.zip``, ``.parquet`` or ``.zarr``.
        mpp: Micrometres per pixel, where the source does not say.
        per_shard: Nuclei in each file of a ``.zip``.

    Raises:
        SettingsError: If a suffix is not known, or something that the target needs is not.
        StorageError: If the source is damaged or the target cannot be written.
    """
    if not target.name.endswith((".json.gz", ".geojson.gz", ".zip", ".parquet", ".zarr")):
        raise SettingsError(
            f"{target.name} has no known suffix.", "Use .json.gz, .zip, .parquet or .zarr."
        )
    if per_shard < 1:
        raise SettingsError(f"A shard of {per_shard} nuclei was asked for.")
    if source.resolve() == target.resolve():
        raise SettingsError("SOURCE and TARGET are the same file.")
    if target.suffix == ".zarr":
        if source.suffix != ".parquet":
            raise SettingsError(
                "The source does not say how large its slide is, which a label image needs.",
                "Convert from the .parquet of a result.",
            )
        return Converted(target, label_pyramid_of_table(source, target))
    found = _read(source, mpp)
    _write(found, target, per_shard)
    return Converted(target, len(found.nuclei), found.n_dropped, found.notes)


def _read(source: Path, mpp: float | None) -> _Source:
    if source.suffix == ".parquet":
        provenance = read_table_metadata(source)
        return _Source(
            read_nuclei_table(source),
            provenance,
            _namespace(provenance, source),
        )
    if not source.name.endswith(_GEOJSON):
        raise SettingsError(f"{source.name} is neither a .parquet table nor GeoJSON.")
    outlines = read_outlines(source)
    stated = outlines.members.get("provenance")
    ours: dict[str, Any] | None = stated if isinstance(stated, dict) else None
    imported = import_nuclei(outlines, _scale(ours or {}, mpp), is_ours=ours is not None)
    provenance = ours or {
        "converted_from": source.name,
        "converted_from_sha256": file_sha256(source),
        "mpp": mpp,
        "code_version": __version__,
    }
    return _Source(
        imported.nuclei,
        provenance,
        _namespace(provenance, source),
        imported.n_dropped,
        imported.notes,
    )


def _scale(provenance: Mapping[str, Any], mpp: float | None) -> Mpp | None:
    """What the file says; else what was given."""
    found = Provenance.found_in(provenance, "The source")
    if found is not None:
        return found.slide.mpp
    known = provenance.get("mpp") or mpp
    return Mpp(known, known) if known else None


def _namespace(provenance: Mapping[str, Any], source: Path) -> uuid.UUID:
    """The segmentation's, so that ids stay; else one of the file's content."""
    if "segmentation_id" in provenance:
        return uuid.UUID(provenance["segmentation_id"])
    return uuid.UUID(file_sha256(source)[:32])


def _write(found: _Source, target: Path, per_shard: int) -> None:
    provenance, namespace = found.provenance, found.namespace
    with written_atomically(target) as part:
        if target.suffix == ".parquet":
            columns = list(found.nuclei.measurements)
            write_nuclei_table(
                part, found.blocks(), columns, metadata=provenance, namespace=namespace
            )
        elif target.suffix == ".zip":
            parts = (
                deflate_features(piece, namespace)
                for block in found.blocks()
                for piece in _pieces(block, per_shard)
            )
            write_qupath_zip(part, parts, provenance=provenance, per_shard=per_shard)
        else:
            write_geojson(part, found.blocks(), provenance=provenance, namespace=namespace)
    if target.suffix == ".gz":
        validate_qupath_file(target)
    elif target.suffix == ".zip":
        check_qupath_zip(target)


def _pieces(nuclei: Nuclei, n_at_most: int) -> Iterator[Nuclei]:
    for first in range(0, len(nuclei), n_at_most):
        yield nuclei.take(np.arange(first, min(first + n_at_most, len(nuclei))))
