"""Knowing a slide by its bytes: a renamed slide keeps its digest, a changed one gets another."""

from __future__ import annotations

from pathlib import Path

from hoverfast_platform.errors import UnreadableSlideError
from hoverfast_platform.files import bytes_sha256, file_sha256


def slide_files(path: Path) -> tuple[Path, ...]:
    """All files that make up a slide, the given one first.

    MRXS, VMS and VMU slides keep pixels in a folder of the same name or in files beside the
    index; a DICOM slide is all ``.dcm`` files of its folder.
    """
    suffix = path.suffix.lower()
    if suffix == ".mrxs":
        parts = sorted(p for p in path.with_suffix("").rglob("*") if p.is_file())
        return (path, *parts)
    if suffix in {".vms", ".vmu"}:
        parts = sorted(p for p in path.parent.glob(f"{path.stem}*") if p != path and p.is_file())
        return (path, *parts)
    if suffix == ".dcm":
        return tuple(sorted(p for p in path.parent.glob("*.dcm") if p.is_file()))
    return (path,)


def slide_digest(path: Path) -> str:
    """SHA-256 over the contents of all the slide's files, hex; names do not enter.

    Every byte is read: sampling would miss the one re-scanned tile. Hashing runs near the
    speed of the disk and is done once per file, size and time (the catalogue remembers).

    Raises:
        UnreadableSlideError: If a file cannot be read.
    """
    digests: list[bytes] = []
    for file in slide_files(path):
        try:
            digests.append(bytes.fromhex(file_sha256(file)))
        except OSError as error:
            raise UnreadableSlideError(
                f"{file} cannot be read: {error}.", "Check that it exists and your permissions."
            ) from error
    if len(digests) == 1:
        return digests[0].hex()
    return bytes_sha256(*sorted(digests))
