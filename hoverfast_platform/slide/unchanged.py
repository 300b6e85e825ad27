"""Noticing that a slide changed while it was read.

A change on a local disk moves the file's inode, size, modification time or change time, which no
program can set back. A network share may show old times for a while, or its server's clock; there
the bytes are read again, which takes as long as the first time.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hoverfast_platform.errors import ChangedSlideError, UnreadableSlideError
from hoverfast_platform.slide.digest import slide_digest, slide_files

_LOCAL = frozenset(
    ("btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "ramfs", "tmpfs", "xfs", "zfs")
)
"""File systems that this machine's kernel keeps alone. Any other may be written elsewhere."""
_MOUNTS = Path("/proc/self/mountinfo")


@dataclass(frozen=True)
class SlideState:
    """What tells, without reading, that a slide's files changed.

    Attributes:
        inodes: Device and inode of every file, by path.
        stamps: Size, modification time and change time in nanoseconds, by path.
    """

    inodes: dict[str, tuple[int, int]]
    stamps: dict[str, tuple[int, int, int]]

    @classmethod
    def of(cls, path: Path) -> SlideState:
        """The state of a slide now.

        Raises:
            UnreadableSlideError: If a file went missing.
        """
        try:
            found = {str(file): file.stat() for file in slide_files(path)}
        except OSError as error:
            raise UnreadableSlideError(
                f"{path}: a file went missing: {error}.", "Check its folder, and run again."
            ) from error
        return cls(
            {name: (stat.st_dev, stat.st_ino) for name, stat in found.items()},
            {name: (s.st_size, s.st_mtime_ns, s.st_ctime_ns) for name, s in found.items()},
        )


def check_same_bytes(path: Path, before: SlideState, sha256: str) -> None:
    """Make sure that a slide is still the one that was read.

    Args:
        path: The slide.
        before: Its state before it was opened.
        sha256: Digest of what was opened.

    Raises:
        ChangedSlideError: If it is another one now.
        UnreadableSlideError: If it cannot be read any more.
    """
    now = SlideState.of(path)
    if now == before and _times_are_trusted(path):
        return
    # A file that was replaced may have been read half here, half there, whatever it holds now.
    if now.inodes != before.inodes or slide_digest(path) != sha256:
        raise ChangedSlideError(
            f"{path} changed while it was segmented, so nothing was published.",
            "Usually it was still being copied or scanned. Run again once it stands still; it is "
            "registered anew by what it holds then.",
        )


def _times_are_trusted(path: Path) -> bool:
    """Whether the slide lies on a local file system."""
    with contextlib.suppress(OSError):
        device = path.stat().st_dev
        name = f"{os.major(device)}:{os.minor(device)}"
        return any(kind in _LOCAL for number, kind in _mounts() if number == name)
    return False


def _mounts() -> Iterator[tuple[str, str]]:
    """Device number and kind of every file system."""
    for line in _MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines():
        place, _, source = line.partition(" - ")
        yield place.split()[2], source.split()[0]
