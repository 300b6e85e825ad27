"""Knowing the many errors in which libraries say that there is no memory left."""

from __future__ import annotations

import errno

from hoverfast_platform.errors import ComputeError, HoverFastError

_SAID = (
    "defaultcpuallocator",  # torch
    "cannot allocate memory",
    "can't alloc",  # OpenVINO
    "unable to allocate",
    "failed to allocate",
    "insufficient memory",  # OpenCV
    "std::bad_alloc",
    "out of memory",
)


def out_of_memory(error: BaseException) -> ComputeError | None:
    """The error to show instead of a library's, if that says that memory ran out."""
    if isinstance(error, HoverFastError) or not _is_out_of_memory(error):
        return None
    lines = [line for line in str(error).splitlines() if _says_so(line)] or [type(error).__name__]
    return ComputeError(
        f"Memory ran out: {lines[0][:200]}.",
        "A limit of the shell (`ulimit -v`), of the container or of the grid engine may be lower "
        "than the machine's memory: raise it, or use fewer --workers and a smaller --tile-size.",
    )


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, Exception) and _says_so(str(error))


def _says_so(text: str) -> bool:
    return any(words in text.lower() for words in _SAID)
