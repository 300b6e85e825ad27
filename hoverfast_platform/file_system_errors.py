"""Knowing the many errors in which libraries say that a file system failed, not a file.

A network share that is mounted ``soft`` gives up after a while: any step on a file may fail, and
the same step succeeds a minute later. Whoever takes that for a damaged file throws away good work.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator

from hoverfast_platform.errors import HoverFastError, ShareUnavailableError, StorageError
from hoverfast_platform.texts import clean

_AWAY = frozenset(
    getattr(errno, name)
    for name in ("EIO", "ESTALE", "ETIMEDOUT", "EREMOTEIO", "EHOSTDOWN", "ENOTCONN")
    if hasattr(errno, name)
)
_FULL = frozenset(
    getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG") if hasattr(errno, name)
)
_SAID_AWAY = (
    "input/output error",
    "stale file handle",
    "error closing file",  # Arrow
    "can't retrieve stat info for file",  # HDF5
    "disk i/o error",  # SQLite
)
_NUMBER = re.compile(r"\berrno = (\d+)")
"""How HDF5 says it, within the way through its functions."""

WHEN_AWAY = (
    "Usually a network share did not answer for a while, or its server was restarted; on a local "
    "disk the disk has a defect. Look whether the folder is there and run again: what was "
    "finished is kept. A share that is mounted `hard` waits instead of failing."
)
_WHEN_NOT_LOCKING = (
    "The file system does not lock files, so two runs could write one result. Mount the share "
    "with NFS version 4, or choose a folder on a local disk."
)
WHEN_FULL = (
    "Free space, choose another output folder, or check its permissions; finished tile "
    "blocks are kept and the next run goes on from them."
)


def file_system_failed(error: BaseException) -> StorageError | None:
    """The error to show instead, if a file system failed, whoever reported it; None otherwise."""
    if isinstance(error, HoverFastError) and error.is_transient:
        return None
    for found in _with_causes(error):
        if (named := named_failure(_message(error, found), found)) is not None:
            return named
    return None


def named_failure(message: str, error: BaseException) -> StorageError | None:
    """The error of ours for one that a file system failed with; None for any other.

    Args:
        message: What could not be done, and the system's words for it.
        error: The system's or a library's.
    """
    number = _number_of(error)
    if number == errno.ENOLCK:
        return StorageError(message, _WHEN_NOT_LOCKING)
    if number in _FULL:
        return StorageError(message, WHEN_FULL)
    says_so = any(words in str(error).lower() for words in _SAID_AWAY)
    if number in _AWAY or (says_so and not isinstance(error, HoverFastError)):
        return ShareUnavailableError(message, WHEN_AWAY)
    return None


def words_of(error: BaseException) -> str:
    """What an error says, in one line: the system's words where a library wraps them in many."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if len(lines) <= 1:
        return str(error)
    number = _number_of(error)
    if number is not None:
        return os.strerror(number)
    return lines[-1] if "back trace" in lines[0] else lines[0]


def _number_of(error: BaseException) -> int | None:
    """The system's number; errors of sockets are of other types, which say more."""
    if isinstance(error, HoverFastError):
        return None
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno if type(error) in (OSError, TimeoutError) else None
    said = _NUMBER.search(str(error))
    return int(said[1]) if said else None


def _with_causes(error: BaseException) -> Iterator[BaseException]:
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__


def _message(error: BaseException, found: BaseException) -> str:
    """What could not be done, with the system's words once."""
    number = _number_of(found)
    words = os.strerror(number) if number is not None else words_of(found)
    if isinstance(error, HoverFastError):
        said = error.message.replace(clean(str(found)), words).splitlines()[0]
        return said if words in said else f"{said} ({words})"
    if isinstance(found, OSError) and found.filename:
        return f"{os.fsdecode(found.filename)} cannot be read or written: {words}."
    return f"A file cannot be read or written: {words_of(found)}."
