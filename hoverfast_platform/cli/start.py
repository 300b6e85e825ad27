"""Where the installed command begins: it hears signals before it imports anything large.

Importing the commands takes some tenths of a second, and longer from a network drive. Ctrl-C in
that time ends with one line, as it does later, and not with Python's own traceback.
"""

from __future__ import annotations

import contextlib
import os
import signal
from types import FrameType

_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
_TOLD = b"Interrupted. Nothing was begun; run the command again.\n"


def main() -> None:
    """Entry point, see :func:`hoverfast_platform.cli.main.main`."""
    for name in _SIGNALS:
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)
    from hoverfast_platform.cli.main import main as run

    run()


def _end(_number: int, _frame: FrameType | None) -> None:
    with contextlib.suppress(OSError):  # the terminal itself may be gone
        os.write(2, _TOLD)
    os._exit(130)
