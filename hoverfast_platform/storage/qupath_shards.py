"""A zip of GeoJSON files for slides with more nuclei than one QuPath import should hold.

QuPath turns a file into one tree in memory before it makes an object, many times the file's
size; of a zip it reads one entry after the other. An entry it cannot read it skips without a
word, so ``manifest.txt`` (JSON, under a name QuPath does not try) says how many there are.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import uuid
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hoverfast_platform.errors import StorageError
from hoverfast_platform.nuclei.nucleus import Nuclei
from hoverfast_platform.storage.geojson import iter_features

QUPATH_ZIP_ABOVE = 500_000
"""Slides with more nuclei get a zip too: 250 MB of text become gigabytes in QuPath."""

NUCLEI_PER_SHARD = 50_000
_EPOCH = (1980, 1, 1, 0, 0, 0)  # equal results are equal bytes
MANIFEST = "manifest.txt"


def write_qupath_zip(
    path: Path,
    blocks: Iterable[Nuclei],
    *,
    provenance: Mapping[str, Any],
    namespace: uuid.UUID,
    per_shard: int = NUCLEI_PER_SHARD,
) -> int:
    """Write shards in the order of the nuclei, which is by tile, and the manifest.

    Args:
        path: Where; the caller renames it.
        blocks: Nuclei in the order to write.
        provenance: Goes into every shard and the manifest.
        namespace: Of the nuclei's ids.
        per_shard: Nuclei in a shard.

    Returns:
        The number of nuclei.
    """
    head = json.dumps(provenance, ensure_ascii=False, sort_keys=True)
    start = f'{{"type":"FeatureCollection","provenance":{head},"features":[\n'.encode()
    shards: list[dict[str, object]] = []
    features = itertools.chain.from_iterable(iter_features(block, namespace) for block in blocks)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=2) as archive:
        while True:
            content = list(itertools.islice(features, per_shard))
            if not content and shards:
                break
            name = f"nuclei-{len(shards) + 1:04d}.geojson"
            text = start + b",\n".join(content) + b"\n]}\n"
            archive.writestr(_entry(name), text)
            digest = hashlib.sha256(text).hexdigest()
            shards.append({"file": name, "n_nuclei": len(content), "sha256": digest})
            if len(content) < per_shard:
                break
        n = sum(int(str(shard["n_nuclei"])) for shard in shards)
        manifest = {"n_nuclei": n, "shards": shards, "provenance": dict(provenance)}
        archive.writestr(_entry(MANIFEST), json.dumps(manifest, indent=1, ensure_ascii=False))
    return n


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
            wrong |= {name for name in names & set(listed) if not _is_whole(archive, listed[name])}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise StorageError(
            f"{path} is no whole zip of nuclei: {error}.", "Make it anew."
        ) from error
    if wrong:
        raise StorageError(
            f"{path}: {', '.join(sorted(wrong))} is missing, damaged or not in the manifest.",
            "Make it anew.",
        )
    return int(manifest["n_nuclei"])


def _is_whole(archive: zipfile.ZipFile, shard: Mapping[str, Any]) -> bool:
    digest = hashlib.sha256(archive.read(shard["file"])).hexdigest()
    return digest == str(shard["sha256"])


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry
