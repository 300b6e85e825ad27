"""Knowing a slide by its bytes: a renamed slide keeps its digest, a changed one gets another."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from hoverfast_platform.access_errors import is_there
from hoverfast_platform.errors import UnreadableSlideError
from hoverfast_platform.files import bytes_sha256, file_sha256


def slide_files(path: Path) -> tuple[Path, ...]:
    """All files that make up a slide, the given one first.

    MRXS, VMS and VMU slides keep pixels in a folder of the same name or in files beside the
    index; a DICOM slide is all ``.dcm`` files of its folder.

    Raises:
        OSError: If a folder cannot be listed.
    """
    suffix = path.suffix.lower()
    if suffix == ".mrxs":
        return (path, *sorted(_files_below(path.with_suffix(""))))
    if suffix in {".vms", ".vmu"}:
        beside = _files_in(path.parent)
        return (path, *sorted(p for p in beside if p.name.startswith(path.stem) and p != path))
    if suffix == ".dcm":
        return tuple(sorted(p for p in _files_in(path.parent) if p.suffix == ".dcm"))
    return (path,)


def _files_below(folder: Path) -> Iterator[Path]:
    """Files in a folder and in those in it; folders are not entered through links.

    A folder that is not listed whole makes another slide of its file, so that no error of the
    file system may pass for an empty folder, as it does in ``Path.glob``.
    """
    if not is_there(folder):
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _files_below(Path(entry.path))
            elif entry.is_file():
                yield Path(entry.path)


def _files_in(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_file():
                yield Path(entry.path)


def slide_digest(path: Path) -> str:
    """SHA-256 over the contents of all the slide's files, hex; names do not enter.

    Every byte is read: sampling would miss the one re-scanned tile. Hashing runs near the
    speed of the disk and is done once per file, size and time (the catalogue remembers).

    Raises:
        UnreadableSlideError: If a file cannot be read.
    """
    digests: list[bytes] = []
    file = path
    try:
        for file in slide_files(path):
            digests.append(bytes.fromhex(file_sha256(file)))
    except OSError as error:
        raise UnreadableSlideError(
            f"{file} cannot be read: {error}.", "Check that it exists and your permissions."
        ) from error
    if len(digests) == 1:
        return digests[0].hex()
    return bytes_sha256(*sorted(digests))
