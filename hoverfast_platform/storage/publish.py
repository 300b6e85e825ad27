"""Giving a finished segmentation its final names, so that nobody ever sees half of one."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from hoverfast_platform.errors import StorageError
from hoverfast_platform.files import file_sha256, reporting_storage
from hoverfast_platform.storage.qupath_shards import check_qupath_zip
from hoverfast_platform.storage.qupath_validation import count_joined_features
from hoverfast_platform.storage.summary import SegmentationSummary

QUPATH, TABLE, PREVIEW, SUMMARY = ".json.gz", ".parquet", ".preview.jpg", ".summary.json"
"""Endings of the four files of a result, after the slide's stem."""

QUPATH_ZIP, LABELS = ".qupath.zip", ".zarr"
"""Of what large slides get too, and of what is made on demand."""


def results_stem(out_dir: Path, stem: str, slide_sha256: str) -> str:
    """The name a slide's files get: its stem, longer if another slide has taken that.

    Raises:
        StorageError: If files of that name exist that no summary explains.
    """
    for candidate in (stem, f"{stem}.{slide_sha256[:8]}"):
        summary_path = out_dir / f"{candidate}{SUMMARY}"
        if summary_path.is_file():
            if SegmentationSummary.read(summary_path).provenance.slide.sha256 == slide_sha256:
                return candidate
        elif not (out_dir / f"{candidate}{QUPATH}").exists():
            return candidate
    raise StorageError(
        f"{out_dir} holds files named {stem}* that belong to no known slide.",
        "Choose another output folder, or move them away.",
    )


def find_published(
    out_dir: Path, stem: str, slide_sha256: str, segmentation_id: str
) -> SegmentationSummary | None:
    """The summary of a whole, unchanged earlier result of the same segmentation, if any."""
    name = results_stem(out_dir, stem, slide_sha256)
    path = out_dir / f"{name}{SUMMARY}"
    if not path.is_file():
        return None
    summary = SegmentationSummary.read(path)
    if summary.provenance.segmentation_id != segmentation_id:
        return None
    for file_name, sha256 in summary.files.items():
        file = out_dir / file_name
        if not file.is_file() or file_sha256(file) != sha256:
            return None
    return summary


def publish(staging_dir: Path, out_dir: Path, name: str, summary: SegmentationSummary) -> Path:
    """Check the staged files against each other and rename them into place, summary last.

    Args:
        staging_dir: Holds ``result.json.gz``, joined of validated features, ``result.parquet``
            and ``result.preview.jpg``; perhaps ``result.qupath.zip``; on the same filesystem as
            ``out_dir``.
        out_dir: Where results are wanted.
        name: From :func:`results_stem`.
        summary: Complete but for ``files``.

    Returns:
        The summary's path.

    Raises:
        StorageError: If a file is not what was to be written, or cannot be moved.
    """
    n_features = count_joined_features(staging_dir / f"result{QUPATH}")
    n_rows = _count_rows(staging_dir / f"result{TABLE}")
    if not n_features == n_rows == summary.n_nuclei:
        raise StorageError(
            f"{name}: {summary.n_nuclei} nuclei were found, {n_features} read back from "
            f"GeoJSON, {n_rows} from the table.",
            "Nothing was published; run again.",
        )
    endings: tuple[str, ...] = (TABLE, PREVIEW, QUPATH)
    staged_zip = staging_dir / f"result{QUPATH_ZIP}"
    if staged_zip.exists():
        endings = (QUPATH_ZIP, *endings)
        n_zipped = check_qupath_zip(staged_zip)
        if n_zipped != n_rows:
            raise StorageError(f"{name}: {n_zipped} nuclei in the zip, {n_rows} in the table.", "")
    files = {name + ending: file_sha256(staging_dir / f"result{ending}") for ending in endings}
    summary_path = out_dir / f"{name}{SUMMARY}"
    staged_summary = staging_dir / f"result{SUMMARY}"
    with reporting_storage(summary_path):
        summary.model_copy(update={"files": files}).write(staged_summary)
        # A reader that finds the old summary must not trust new files, and the reverse:
        # the digests in the summary tell a torn set from a whole one.
        for ending in (*endings, SUMMARY):
            _fsync(staging_dir / f"result{ending}")
            (staging_dir / f"result{ending}").replace(out_dir / (name + ending))
        if QUPATH_ZIP not in endings:  # an older segmentation's
            (out_dir / (name + QUPATH_ZIP)).unlink(missing_ok=True)
        if (out_dir / (name + LABELS)).exists():
            shutil.rmtree(out_dir / (name + LABELS))
        _fsync(out_dir)
    return summary_path


def _count_rows(path: Path) -> int:
    import pyarrow.parquet as pq

    n_rows: int = pq.read_metadata(path).num_rows
    return n_rows


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
