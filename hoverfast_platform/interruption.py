"""Ctrl-C, SIGTERM and a terminal that goes away: noticed at once, and never lost in a library.

A signal's handler raises :class:`Interrupted` wherever the main thread is. Machine code that
called Python from there, such as a compiler of networks, gives that on as an error of its own.
Code that must not raise, such as a finaliser, drops it, and Python shows where. So the signal is
also remembered, and a dropped one not shown: whoever judges an error, or begins the next piece of
long work, asks first whether somebody ended it.
"""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import TYPE_CHECKING

from hoverfast_platform.errors import Interrupted

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
_received: list[int] = []


def end_on_signals() -> None:
    """Have signals end the work from now on. One that is ignored, as under nohup, stays so."""
    _received.clear()
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)
    _do_not_show_dropped_interruptions()


def is_interrupted() -> bool:
    """Whether such a signal came."""
    return bool(_received)


def raise_if_interrupted() -> None:
    """Do nothing unless such a signal came.

    Raises:
        Interrupted: Again, if it did.
    """
    if _received:
        name = signal.Signals(_received[0]).name
        raise Interrupted(f"{name} ended the work.", "Run the same command to go on.")


def _do_not_show_dropped_interruptions() -> None:
    show = sys.unraisablehook

    def show_unless_interrupted(dropped: UnraisableHookArgs, /) -> None:
        if not isinstance(dropped.exc_value, Interrupted):
            show(dropped)

    sys.unraisablehook = show_unless_interrupted


def _end(number: int, _frame: FrameType | None) -> None:
    _received.append(number)
    raise_if_interrupted()
