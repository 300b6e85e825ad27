"""A zip of GeoJSON files for slides with more nuclei than one QuPath import should hold.

QuPath turns a file into one tree in memory before it makes an object, many times the file's
size; of a zip it reads one entry after the other. An entry it cannot read it skips without a
word, so ``manifest`` (JSON) says how many there are. It has no extension, because QuPath lets a zip
be dragged onto its viewer only if every extension inside is one of object files.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

from isal import isal_zlib

from hoverfast_platform.errors import StorageError
from hoverfast_platform.files import bytes_sha256
from hoverfast_platform.storage.geojson import FeaturesPart, collection
from hoverfast_platform.storage.gzip_parts import write_deflated

QUPATH_ZIP_ABOVE = 250_000
"""Slides with more nuclei get a zip too: one file of 350,000 nuclei takes QuPath 4 GB, a zip of
500,000 takes 1 GB; QuPath uses half of a machine's memory."""

NUCLEI_PER_SHARD = 50_000
_EPOCH = (1980, 1, 1, 0, 0, 0)  # equal results are equal bytes
MANIFEST = "manifest"


def write_qupath_zip(
    path: Path,
    parts: Iterable[FeaturesPart],
    *,
    provenance: Mapping[str, Any],
    per_shard: int = NUCLEI_PER_SHARD,
) -> int:
    """Write shards in the order of the nuclei, which is by tile, and the manifest.

    Nothing is compressed again: a shard is joined of whole parts.

    Args:
        path: Where; the caller renames it.
        parts: Features of blocks of nuclei in the order to write.
        provenance: Goes into every shard and the manifest.
        per_shard: Nuclei in a shard at most, unless one part has more.

    Returns:
        The number of nuclei.
    """
    shards: list[dict[str, object]] = []
    with path.open("wb") as file, zipfile.ZipFile(file, "w") as archive:
        for group in _groups(parts, per_shard):
            name = f"nuclei-{len(shards) + 1:04d}.geojson"
            text = io.BytesIO()
            crc32, n_bytes = write_deflated(text, collection(group, provenance=provenance))
            deflated = text.getvalue()
            _add_deflated(archive, file, _entry(name), deflated, (crc32, n_bytes))
            digest = bytes_sha256(isal_zlib.decompress(deflated, wbits=-15))
            n_nuclei = sum(part.n for part in group)
            shards.append({"file": name, "n_nuclei": n_nuclei, "sha256": digest})
        n = sum(int(str(shard["n_nuclei"])) for shard in shards)
        manifest = {"n_nuclei": n, "shards": shards, "provenance": dict(provenance)}
        archive.writestr(_entry(MANIFEST), json.dumps(manifest, indent=1, ensure_ascii=False))
    return n


def _groups(parts: Iterable[FeaturesPart], per_shard: int) -> Iterator[list[FeaturesPart]]:
    """Consecutive parts that fill a shard; at least one group, perhaps empty."""
    group: list[FeaturesPart] = []
    is_first = True
    for part in parts:
        if group and sum(one.n for one in group) + part.n > per_shard:
            yield group
            group, is_first = [], False
        if part.n:
            group.append(part)
    if group or is_first:
        yield group


def _add_deflated(
    archive: zipfile.ZipFile,
    file: BinaryIO,
    entry: zipfile.ZipInfo,
    deflated: bytes,
    plain: tuple[int, int],
) -> None:
    """Add an entry that is compressed already; ``plain`` is its text's checksum and size.

    ``zipfile`` only adds what it compresses itself: the header is written here, and the archive
    told of it.
    """
    entry.CRC, entry.file_size = plain
    entry.compress_size, entry.header_offset = len(deflated), file.tell()
    file.write(entry.FileHeader(zip64=False) + deflated)
    archive.filelist.append(entry)
    archive.NameToInfo[entry.filename] = entry
    archive.start_dir = file.tell()


def check_qupath_zip(path: Path) -> int:
    """How many nuclei a zip holds, every shard compared with the manifest.

    Raises:
        StorageError: If a shard is missing, damaged, or not in the manifest.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            manifest = json.loads(archive.read(MANIFEST))
            listed = {shard["file"]: shard for shard in manifest["shards"]}
            names = set(archive.namelist()) - {MANIFEST}
            wrong = names ^ set(listed)
            both = sorted(names & set(listed))
            with ThreadPoolExecutor(4) as threads:
                whole = threads.map(lambda name: _is_whole(archive, listed[name]), both)
            wrong |= {name for name, is_whole in zip(both, whole, strict=True) if not is_whole}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise StorageError(
            f"{path} is not a whole zip of nuclei: {error}.", "Make it anew."
        ) from error
    if wrong:
        raise StorageError(
            f"{path}: {', '.join(sorted(wrong))} is missing, damaged or not in the manifest.",
            "Make it anew.",
        )
    return int(manifest["n_nuclei"])


def _is_whole(archive: zipfile.ZipFile, shard: Mapping[str, Any]) -> bool:
    digest = bytes_sha256(archive.read(shard["file"]))
    return digest == str(shard["sha256"])


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry
