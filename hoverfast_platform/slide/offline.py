"""Files that a tape archive or a cloud drive shows although their bytes lie elsewhere."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from hoverfast_platform.errors import IncompleteSlideError

_WINDOWS_ELSEWHERE = 0x1000 | 0x400000
"""FILE_ATTRIBUTE_OFFLINE and FILE_ATTRIBUTE_RECALL_ON_DATA_ACCESS."""

_MACOS_ELSEWHERE = 0x40000000
"""SF_DATALESS: iCloud and other file providers."""


def refuse_offline(path: Path) -> None:
    """Pass if the file's bytes are on this machine or its network drive.

    Reading such a file would have the archive bring it back, for hours, and intake reads every
    file of a folder. Windows and macOS say it of a file; on Linux a file is refused that has no
    byte on disk at all. An archive that hides this looks like a slow disk.

    Raises:
        IncompleteSlideError: If they are not.
    """
    status = path.stat()
    says_so = (
        getattr(status, "st_file_attributes", 0) & _WINDOWS_ELSEWHERE
        or getattr(status, "st_flags", 0) & _MACOS_ELSEWHERE
    )
    if says_so or _is_one_hole(path):
        raise IncompleteSlideError(
            f"{path.name} is listed with {status.st_size:,} bytes, and none of them is on disk.",
            "Usually a tape archive or a cloud drive keeps them: recall the file there (keep it on "
            "this device). Or a copy has just begun. It is taken up by itself then.",
        )


def may_have_no_bytes(status: os.stat_result) -> bool:
    """Whether a file takes no room on disk; once it was recalled it does, at an unchanged time."""
    return getattr(status, "st_blocks", 1) == 0


def _is_one_hole(path: Path) -> bool:
    """Whether a file has never been written to; False where the file system cannot tell."""
    if not hasattr(os, "SEEK_DATA") or not may_have_no_bytes(path.stat()):
        return False
    with path.open("rb") as file:
        try:
            os.lseek(file.fileno(), 0, os.SEEK_DATA)
        except OSError as error:
            return error.errno == errno.ENXIO
    return False
