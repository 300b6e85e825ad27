"""For QuPath: one file, and a zip of pieces."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hoverfast_platform.storage.exporters.exporter import Exporter, NucleiSource
from hoverfast_platform.storage.geojson import FeaturesPart, deflate_features, write_geojson
from hoverfast_platform.storage.qupath_shards import check_qupath_zip, write_qupath_zip
from hoverfast_platform.storage.qupath_validation import validate_qupath_file

_BLOCK = 10_000


def _write_one(source: NucleiSource, path: Path, _per_piece: int) -> None:
    write_geojson(path, source.blocks(), provenance=source.provenance, namespace=source.namespace)
    validate_qupath_file(path)


def _write_zip(source: NucleiSource, path: Path, per_piece: int) -> None:
    def parts() -> Iterator[FeaturesPart]:
        for block in source.blocks(min(per_piece, _BLOCK)):
            yield deflate_features(block, source.namespace)

    write_qupath_zip(path, parts(), provenance=source.provenance, per_shard=per_piece)
    check_qupath_zip(path)


EXPORTER = Exporter(
    name="qupath",
    extensions=(".json.gz", ".geojson.gz"),
    what="GeoJSON detections with measurements",
    opens_in="QuPath, GDAL, anything that reads GeoJSON",
    write=_write_one,
)

ZIP_EXPORTER = Exporter(
    name="qupath-zip",
    extensions=(".zip",),
    what="the same in pieces of 50,000 nuclei (--per-shard), for slides with many",
    opens_in="QuPath",
    write=_write_zip,
)
