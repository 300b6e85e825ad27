"""What glibc does with memory that a process frees; other C libraries decide for themselves.

By default it learns from what is freed: soon it takes arrays of many MiB from heaps of which
one per thread exists, and these give nothing back that lies below something still in use. A
process that reads and predicts then grows for minutes.
"""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h
_ALL_BYTES, _LARGE_BYTES = 256 * 2**20, 2**20


def keep_freed_memory() -> None:
    """Let this process keep what it frees.

    For workers: every region needs arrays of the sizes the last one freed. Given back to the
    system, their pages come back zeroed one by one, which takes a third of post-processing.
    """
    _set_thresholds(_ALL_BYTES)


def give_back_large_arrays() -> None:
    """Let this process give back what it frees, from 1 MiB on.

    For the process that reads and predicts: its memory stays what is in use, however large the
    slide. Beside the network the new pages cost nothing that could be measured.
    """
    _set_thresholds(_LARGE_BYTES)


def _set_thresholds(n_bytes: int) -> None:
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
        if mallopt is not None:
            mallopt(_M_MMAP_THRESHOLD, n_bytes)
            mallopt(_M_TRIM_THRESHOLD, n_bytes)
