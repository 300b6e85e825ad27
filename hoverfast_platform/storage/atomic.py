"""Writing a file so that it appears under its name whole, or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from hoverfast_platform.errors import StorageError


@contextlib.contextmanager
def written_atomically(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it to ``path`` when the block succeeds.

    Raises:
        StorageError: If the folder is not writable or the disk is full.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except StorageError:
        part.unlink(missing_ok=True)
        raise
    except OSError as error:
        with contextlib.suppress(OSError):  # the first error is the one to report
            part.unlink(missing_ok=True)
        raise storage_error(path, error) from error
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def storage_error(path: Path, error: OSError) -> StorageError:
    """The error to raise when ``path`` could not be written, with what the disk has left."""
    folder = path.parent
    while not folder.exists():
        folder = folder.parent
    free_gib = shutil.disk_usage(folder).free / 2**30
    return StorageError(
        f"{path} cannot be written: {error.strerror or error} "
        f"({free_gib:.2f} GiB free in {folder}).",
        "Free space, choose another output folder, or check its permissions; finished tile "
        "blocks are kept and the next run goes on from them.",
    )
