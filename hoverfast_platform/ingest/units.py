"""Which slides lie in a folder, multi-file formats as one, and how a change of one is noticed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hoverfast_platform.slide.digest import slide_files
from hoverfast_platform.slide.formats import SLIDE_SUFFIXES
from hoverfast_platform.slide.offline import may_have_no_bytes
from hoverfast_platform.texts import clean


@dataclass(frozen=True)
class SlideUnit:
    """A slide as it lies on disk.

    Attributes:
        path: The file to open; of a DICOM folder the first file.
        signature: A text that changes when any of its files is written, added, removed, or becomes
            readable.
    """

    path: Path
    signature: str


@dataclass(frozen=True)
class FolderListing:
    """What lies in a watched folder.

    Attributes:
        units: The slides that were found, by path.
        problems: Folders that could not be listed; their slides are unknown, not gone.
    """

    units: dict[Path, SlideUnit] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


def list_slides(root: Path) -> FolderListing:
    """All slides below ``root``; names that start with a dot are unfinished or hidden.

    Links to files are followed, links to folders are not: they may go round in circles.
    """
    problems: list[str] = []
    units: dict[Path, SlideUnit] = {}
    for path in _slide_paths(root, problems):
        try:
            units[path] = SlideUnit(path, signature(path))
        except FileNotFoundError:
            continue  # renamed or removed since it was listed: the next look will tell
        except OSError as error:
            problems.append(clean(f"{path}: {error.strerror}"))
    return FolderListing(units, tuple(problems))


def signature(path: Path) -> str:
    """Size, newest time, number and readability of a slide's files, and whether all are on disk.

    Raises:
        OSError: If a file is not there.
    """
    files = slide_files(path) if path.suffix.lower() in _MULTI_FILE else (path,)
    size, newest_ns, n_elsewhere = 0, 0, 0
    for file in files:
        status = file.stat()
        size += status.st_size
        newest_ns = max(newest_ns, status.st_mtime_ns)
        n_elsewhere += may_have_no_bytes(status)
    readable = all(os.access(file, os.R_OK) for file in files)
    return f"{size}:{newest_ns}:{len(files)}:{'r' if readable else '-'}:{n_elsewhere}"


_MULTI_FILE = {".mrxs", ".vms", ".vmu", ".dcm"}


def _slide_paths(folder: Path, problems: list[str]) -> Iterator[Path]:
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        problems.append(clean(f"{folder}: {error.strerror}"))
        return
    suffixes = {entry.name: os.path.splitext(entry.name)[1].lower() for entry in entries}  # noqa: PTH122 - ten thousand Paths are slow
    companions = {
        os.path.splitext(name)[0]  # noqa: PTH122
        for name, suffix in suffixes.items()
        if suffix == ".mrxs"
    }
    is_first_dicom = True
    for entry in entries:
        if entry.name.startswith("."):
            continue
        try:  # a share may not say what an entry is, and fail when it is asked
            is_dir, is_file = entry.is_dir(follow_symlinks=False), entry.is_file()
        except OSError as error:
            problems.append(clean(f"{entry.path}: {error.strerror}"))
            continue
        if is_dir:
            if entry.name not in companions:
                yield from _slide_paths(folder / entry.name, problems)
            continue
        suffix = suffixes[entry.name]
        if suffix not in SLIDE_SUFFIXES or not is_file:
            continue
        if suffix == ".dcm":
            if not is_first_dicom:
                continue
            is_first_dicom = False
        yield folder / entry.name
