"""Nuclei from one form of file to any other; the forms are in ``storage.exporters``."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from hoverfast_platform.errors import SettingsError, StorageError
from hoverfast_platform.files import file_sha256, written_atomically
from hoverfast_platform.geometry import Mpp
from hoverfast_platform.nuclei.nucleus import Nuclei
from hoverfast_platform.provenance import Provenance
from hoverfast_platform.storage.exporters.exporter import NucleiSource
from hoverfast_platform.storage.exporters.table import exporter_for
from hoverfast_platform.storage.foreign_outlines import read_outlines
from hoverfast_platform.storage.imported_nuclei import import_nuclei
from hoverfast_platform.storage.nuclei_table import (
    DAMAGED_TABLE,
    iter_nuclei_table,
    read_table_metadata,
)
from hoverfast_platform.storage.qupath_shards import NUCLEI_PER_SHARD
from hoverfast_platform.version import __version__

_GEOJSON = (".geojson", ".json", ".geojson.gz", ".json.gz")


@dataclass(frozen=True)
class _Read:
    """What a source holds, and what of it was left out."""

    source: NucleiSource
    n_dropped: int = 0
    notes: tuple[str, ...] = ()


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
    source: Path,
    target: Path,
    *,
    to: str = "",
    mpp: float | None = None,
    slide: Path | None = None,
    per_shard: int = NUCLEI_PER_SHARD,
) -> Converted:
    """Convert one file to a form of ``storage.exporters.table``.

    Args:
        source: A ``.parquet`` of ours, or GeoJSON of the published tool, of QuPath or of ours.
        target: What is written; its ending says the form where ``to`` does not.
        to: Name of the form; if empty, the target's ending decides.
        mpp: Micrometres per pixel, where the source does not say.
        slide: The DICOM slide, file or folder, that DICOM annotations shall refer to.
        per_shard: Nuclei in each file of a ``.zip``.

    Raises:
        SettingsError: If a form or suffix is not known, or something that the form needs is not.
        StorageError: If the source is damaged or the target cannot be written.
    """
    exporter = exporter_for(target.name, to)
    if per_shard < 1:
        raise SettingsError(
            f"A shard of {per_shard} nuclei was asked for.", "Give --per-shard 1 or more."
        )
    if source.resolve() == target.resolve():
        raise SettingsError("SOURCE and TARGET are the same file.", "Give TARGET another name.")
    read = _read(source, mpp)
    read = replace(read, source=replace(read.source, slide=slide))
    exporter.check(read.source)
    if exporter.renames_itself:
        exporter.write(read.source, target, per_shard)
    else:
        with written_atomically(target) as part:
            exporter.write(read.source, part, per_shard)
    return Converted(target, read.source.n_nuclei, read.n_dropped, read.notes)


def _read(path: Path, mpp: float | None) -> _Read:
    if path.suffix == ".parquet":
        return _Read(_source_of_table(path, mpp))
    if not path.name.endswith(_GEOJSON):
        raise SettingsError(
            f"{path.name} is neither a .parquet table nor GeoJSON.",
            "Give OUT/<stem>.parquet of infer_wsi, or a .geojson, .json or .json.gz file.",
        )
    outlines = read_outlines(path)
    stated = outlines.members.get("provenance")
    ours: dict[str, Any] | None = stated if isinstance(stated, dict) else None
    imported = import_nuclei(outlines, _scale(ours or {}, mpp), is_ours=ours is not None)
    provenance = ours or {
        "converted_from": path.name,
        "converted_from_sha256": file_sha256(path),
        "mpp": mpp,
        "code_version": __version__,
    }
    nuclei = imported.nuclei
    contents = _Contents(len(nuclei), tuple(nuclei.measurements), lambda: iter([nuclei]))
    source = _source(path, contents, provenance, mpp)
    return _Read(source, imported.n_dropped, imported.notes)


@dataclass(frozen=True)
class _Contents:
    """How many nuclei there are, what was measured of them, and how they are read."""

    n_nuclei: int
    columns: tuple[str, ...]
    read: Callable[[], Iterator[Nuclei]]


def _source_of_table(path: Path, mpp: float | None) -> NucleiSource:
    """Open one of our tables; only one block of it is in memory at a time."""
    try:
        n_nuclei: int = pq.read_metadata(path).num_rows
        provenance = read_table_metadata(path)
    except DAMAGED_TABLE as error:
        raise StorageError(f"{path} is not a readable nuclei table: {error}.", "") from error
    with contextlib.closing(iter_nuclei_table(path)) as blocks:
        columns = tuple(next(blocks).measurements)
    contents = _Contents(n_nuclei, columns, lambda: iter_nuclei_table(path))
    return _source(path, contents, provenance, mpp)


def _source(
    path: Path, contents: _Contents, provenance: Mapping[str, Any], mpp: float | None
) -> NucleiSource:
    found = Provenance.found_in(provenance, path.name)
    return NucleiSource(
        path=path,
        n_nuclei=contents.n_nuclei,
        columns=contents.columns,
        read=contents.read,
        provenance=provenance,
        namespace=_namespace(provenance, path),
        mpp=_scale(provenance, mpp),
        size_px=(found.slide.width_px, found.slide.height_px) if found is not None else None,
    )


def _scale(provenance: Mapping[str, Any], mpp: float | None) -> Mpp | None:
    """The scale that the file states; else the one that was given."""
    found = Provenance.found_in(provenance, "The source")
    if found is not None:
        return found.slide.mpp
    known = provenance.get("mpp") or mpp
    return Mpp(known, known) if known else None


def _namespace(provenance: Mapping[str, Any], source: Path) -> uuid.UUID:
    """The segmentation's id, so that ids of nuclei stay; else one made of the file's content."""
    if "segmentation_id" in provenance:
        return uuid.UUID(provenance["segmentation_id"])
    return uuid.UUID(file_sha256(source)[:32])
