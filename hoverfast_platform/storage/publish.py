"""Giving a finished segmentation its final names, so that nobody ever sees half of one.

The summary decides whether a result exists: it names the other files by digest. Renaming several
files takes several steps, and a run can be killed between any two of them. So the steps are
written down first, in ``publication.json`` beside the finished files; whoever finds that file
later goes on with the steps. Before it is there nothing has its final name, after the last step
the folder of the run is gone::

    result.json.gz, result.parquet, ...    in the folder of the run, checked and on the disk
    publication.json                       final name, and digest of every file
    <name>.parquet, ..., <name>.summary.json      renamed one by one, the summary last
    <folder>.published                     the folder of the run, about to be removed
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from filelock import FileLock

from hoverfast_platform.access_errors import is_there
from hoverfast_platform.config import Settings
from hoverfast_platform.errors import SettingsError, StorageError
from hoverfast_platform.file_system_errors import file_system_failed
from hoverfast_platform.files import (
    file_sha256,
    fitting_stem,
    fsync,
    read_settings_file,
    reporting_storage,
    write_text,
)
from hoverfast_platform.storage.nuclei_table import read_table_metadata
from hoverfast_platform.storage.qupath_shards import check_qupath_zip
from hoverfast_platform.storage.qupath_validation import count_joined_features
from hoverfast_platform.storage.summary import SegmentationSummary
from hoverfast_platform.sure_steps import remove_folder, rename

QUPATH, TABLE, PREVIEW, SUMMARY = ".json.gz", ".parquet", ".preview.jpg", ".summary.json"
MASK = ".mask.png"
"""Endings of the five files of a result, after the slide's stem."""

QUPATH_ZIP, LABELS = ".qupath.zip", ".zarr"
"""Endings of what large slides get too, and of what is made on demand."""

SCRATCH = ".hoverfast"
"""Folder beside the results with one folder for every run that is not finished."""
LOCKS = f"{SCRATCH}/locks"
"""A lock stays of each slide. Beside those folders, every further slide would look through them."""

_LOG = logging.getLogger(__name__)
_PUBLICATION = "publication.json"
_PUBLISHED = ".published"


class _Publication(Settings):
    """What is left to do once a result is finished."""

    name: str
    """The stem of its files, without ending."""
    files: dict[str, str]
    """Ending to SHA-256 of every file, the summary last."""


def results_stem(out_dir: Path, stem: str, slide_sha256: str) -> str:
    """The name a slide's files get: its stem, longer if another slide has taken that.

    Raises:
        StorageError: If files of that name exist that belong to no known slide, or it is too long.
    """
    for candidate in (fitting_stem(stem), f"{stem}.{slide_sha256[:8]}"):
        if _slide_of(out_dir, candidate) in (slide_sha256, None):
            return candidate
    raise StorageError(
        f"{out_dir} holds files named {stem}* that belong to no known slide.",
        "Choose another output folder, or move them away.",
    )


def _slide_of(out_dir: Path, name: str) -> str | None:
    """Digest of the slide whose result has this name; empty for files of unknown origin.

    None where there is no file of that name. Where the summary is gone or damaged the table says
    it, so that a slide finds its own files again and replaces them.
    """
    summary_path = out_dir / f"{name}{SUMMARY}"
    try:
        return SegmentationSummary.read(summary_path).provenance.slide.sha256
    except StorageError as error:
        _raise_if_away(error)
        if summary_path.is_file():
            _LOG.warning("%s The result will be made again.", error)
    if not any(is_there(out_dir / f"{name}{ending}") for ending in (QUPATH, TABLE, SUMMARY)):
        return None
    try:
        slide = read_table_metadata(out_dir / f"{name}{TABLE}").get("slide", {})
        return str(slide.get("sha256", ""))
    except (OSError, ValueError) as error:  # Arrow's errors are ValueErrors
        _raise_if_away(error)
        return ""


def _raise_if_away(error: Exception) -> None:
    """A share that does not answer says nothing about what lies on it."""
    if (named := file_system_failed(error)) is not None:
        raise named from error


def find_published(
    out_dir: Path, stem: str, slide_sha256: str, segmentation_id: str
) -> SegmentationSummary | None:
    """The summary of a whole, unchanged earlier result of the same segmentation, if any."""
    path = out_dir / f"{results_stem(out_dir, stem, slide_sha256)}{SUMMARY}"
    try:
        summary = SegmentationSummary.read(path)
    except StorageError as error:  # absent or damaged, as results_stem said
        _raise_if_away(error)
        return None
    if summary.provenance.segmentation_id != segmentation_id:
        return None
    changed = changed_files(out_dir, summary)
    if changed:
        _LOG.warning("%s The result will be made again.", changed_text(path, changed))
        return None
    return summary


def changed_files(folder: Path, summary: SegmentationSummary) -> tuple[str, ...]:
    """Names of a result's files that are not what the summary says, or are missing."""
    return tuple(
        name
        for name, sha256 in summary.files.items()
        if not (folder / name).is_file() or file_sha256(folder / name) != sha256
    )


def differing_files(recorded: Mapping[str, str]) -> tuple[str, ...]:
    """Name the paths that hold something else than was recorded; absent files are not judged.

    Args:
        recorded: Path to SHA-256.
    """
    return tuple(
        path
        for path, sha256 in recorded.items()
        if Path(path).is_file() and file_sha256(Path(path)) != sha256
    )


def changed_text(summary_path: Path, changed: tuple[str, ...]) -> str:
    """Which files of a result are not what was published, for people."""
    return (
        f"{', '.join(changed)} changed since {summary_path.name} was written, or went missing. "
        "Segment the slide again: the result is made anew."
    )


def publish(staging_dir: Path, out_dir: Path, stem: str, summary: SegmentationSummary) -> str:
    """Check the staged files against each other and rename them into place, summary last.

    Args:
        staging_dir: Holds ``result.json.gz``, joined of validated features, ``result.parquet``
            ``result.preview.jpg`` and ``result.mask.png``; perhaps ``result.qupath.zip``; below
            ``.hoverfast`` in ``out_dir``. It is removed.
        out_dir: Where results are wanted.
        stem: Name that the files get, or begin with.
        summary: Complete but for ``files``.

    Returns:
        The name that the files have, without ending.

    Raises:
        StorageError: If a file is not what was to be written, or cannot be moved.
    """
    endings = _checked(staging_dir, summary)
    with reporting_storage(out_dir / f"{stem}{SUMMARY}"), publishing_lock(out_dir):
        name = results_stem(out_dir, stem, summary.provenance.slide.sha256)
        digests = {ending: file_sha256(staging_dir / f"result{ending}") for ending in endings}
        files = {name + ending: sha256 for ending, sha256 in digests.items()}
        staged_summary = staging_dir / f"result{SUMMARY}"
        summary.model_copy(update={"files": files}).write(staged_summary)
        digests[SUMMARY] = file_sha256(staged_summary)
        for ending in digests:
            fsync(staging_dir / f"result{ending}")
        publication = _Publication(name=name, files=digests)
        write_text(staging_dir / _PUBLICATION, publication.model_dump_json(indent=2))
        _take_steps(staging_dir, out_dir, publication)
    return name


def finish_publications(out_dir: Path) -> None:
    """Finish what a killed run had begun to publish, and remove what it left behind.

    Raises:
        StorageError: If a file cannot be moved or removed.
    """
    scratch = out_dir / SCRATCH
    with reporting_storage(scratch), publishing_lock(out_dir):
        for folder in sorted(scratch.glob(f"*{_PUBLISHED}")):
            _remove_scratch(folder)
        for path in sorted(scratch.glob(f"*/{_PUBLICATION}")):
            try:
                publication = read_settings_file(path, _Publication, what="a publication")
                can_go_on = _can_go_on(path.parent, out_dir, publication)
            except SettingsError as error:
                _raise_if_away(error)
                can_go_on = False
            if can_go_on:
                _LOG.info("Publishing %s, which a killed run had finished.", publication.name)
                _take_steps(path.parent, out_dir, publication)
            else:  # the tile blocks are still there, so the result is made anew of them
                _LOG.warning("%s does not fit its files any more and is left out.", path)
                path.unlink()


def publishing_lock(out_dir: Path) -> FileLock:
    """One at a time: two slides, or images, may want one name."""
    folder = out_dir / LOCKS
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / "publish.lock")


def _can_go_on(folder: Path, out_dir: Path, publication: _Publication) -> bool:
    """Whether every file is whole, in the run's folder or under its final name."""
    for ending, sha256 in publication.files.items():
        staged, final = folder / f"result{ending}", out_dir / (publication.name + ending)
        found = staged if staged.is_file() else final
        if not found.is_file() or file_sha256(found) != sha256:
            return False
    return True


def _take_steps(folder: Path, out_dir: Path, publication: _Publication) -> None:
    """The steps of publishing; those that were taken already do nothing."""
    name = publication.name
    for ending in publication.files:
        staged = folder / f"result{ending}"
        if staged.is_file():
            rename(staged, out_dir / (name + ending))
    if QUPATH_ZIP not in publication.files:  # an older segmentation's
        (out_dir / (name + QUPATH_ZIP)).unlink(missing_ok=True)
    if (out_dir / (name + LABELS)).exists():
        remove_folder(out_dir / (name + LABELS))
    fsync(out_dir)
    removed = folder.with_name(folder.name + _PUBLISHED)
    rename(folder, removed)
    _remove_scratch(removed)


def _remove_scratch(folder: Path) -> None:
    """The result is whole without it: what cannot be removed now is left to the next run."""
    try:
        remove_folder(folder)
    except OSError as error:
        _LOG.warning("%s is left over, and the next run removes it: %s", folder, error.strerror)


def _checked(staging_dir: Path, summary: SegmentationSummary) -> tuple[str, ...]:
    """Endings of the staged files; all hold as many nuclei as were found."""
    counts = {
        QUPATH: count_joined_features(staging_dir / f"result{QUPATH}"),
        TABLE: _count_rows(staging_dir / f"result{TABLE}"),
    }
    if (staging_dir / f"result{QUPATH_ZIP}").exists():
        counts[QUPATH_ZIP] = check_qupath_zip(staging_dir / f"result{QUPATH_ZIP}")
    if set(counts.values()) != {summary.n_nuclei}:
        read_back = ", ".join(f"{n} from {ending}" for ending, n in counts.items())
        raise StorageError(
            f"{summary.n_nuclei} nuclei were found, but {read_back} were read back.",
            "Nothing was published; run again.",
        )
    return (*reversed(counts), PREVIEW, MASK)


def _count_rows(path: Path) -> int:
    import pyarrow.parquet as pq

    n_rows: int = pq.read_metadata(path).num_rows
    return n_rows
