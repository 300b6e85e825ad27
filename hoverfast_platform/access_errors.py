"""Files that this user may not read or write: a matter of rights, not a defect of ours."""

from __future__ import annotations

import errno
from pathlib import Path

from hoverfast_platform.errors import HoverFastError, StorageError

_ABSENT = {errno.ENOENT, errno.ENOTDIR, errno.EBADF, errno.ELOOP}


def is_there(path: Path) -> bool:
    """Whether something is there; ``Path.exists`` says no of a locked folder from Python 3.14 on.

    Raises:
        OSError: If it cannot be told: the folder may not be entered, or a network drive is away.
    """
    try:
        path.stat()
    except OSError as error:
        if error.errno in _ABSENT:
            return False
        raise
    return True


def access_refused(error: BaseException) -> StorageError | None:
    """The error to show instead of the system's, if that refused a file to this user."""
    if isinstance(error, HoverFastError) or not isinstance(error, PermissionError):
        return None
    what = f"{error.filename} may not be read or written" if error.filename else "Refused"
    return StorageError(
        f"{what}: {error.strerror or error}.",
        "Usually it or its folder belongs to another user, or is read-only: ask for the right, "
        "or choose another place.",
    )
