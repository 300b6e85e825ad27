"""Where the kernel writes down what a thread was doing while a signal is handled.

On processors with AMX every plugin of OpenVINO gives the thread that loads it a stack for
signals, and takes that memory away when it is unloaded. Several of them, not unloaded in the
reverse order, leave the thread with one that no longer exists: then the next Ctrl-C is a
segmentation fault in place of a clean end.
"""

from __future__ import annotations

import ctypes
import sys

_SS_DISABLE = 2  # of signal.h


class _Stack(ctypes.Structure):
    """``stack_t`` of signal.h."""

    _fields_ = (
        ("address", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("size", ctypes.c_size_t),
    )


def use_ordinary_stack_for_signals() -> None:
    """Handle this thread's signals on the stack on which it runs, as threads do by default.

    To be called in the thread that used OpenVINO, each time it loaded a plugin.
    """
    if sys.platform == "linux":
        stack = _Stack(None, _SS_DISABLE, 0)
        ctypes.CDLL(None).sigaltstack(ctypes.byref(stack), None)


def signal_stack_address() -> int | None:
    """Where this thread's own stack for signals begins; None if it has none."""
    if sys.platform != "linux":
        return None
    stack = _Stack()
    ctypes.CDLL(None).sigaltstack(None, ctypes.byref(stack))
    return None if stack.flags & _SS_DISABLE else stack.address
