"""Starting child processes from whatever program the engine runs in."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from multiprocessing import resource_tracker


@contextlib.contextmanager
def starting_children() -> Iterator[None]:
    """Let spawned children start without the parent's ``__main__``, and deaf to Ctrl-C.

    A terminal tells every process of the command of Ctrl-C. The parent ends its children; one
    that is still importing would only show where it was.
    """
    with _main_not_imported_again(), _ctrl_c_held_back():
        yield


@contextlib.contextmanager
def _main_not_imported_again() -> Iterator[None]:
    """Hide ``__main__``: children need nothing of it.

    A person's script without ``if __name__ == "__main__"`` would run once more in each of them,
    and under Dagster each would take 3 to 4 s and the memory of Dagster.
    ``multiprocessing.spawn`` looks at these two attributes.
    """
    main = sys.modules["__main__"]
    spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    main.__spec__ = None
    if file is not None:
        del main.__file__
    try:
        yield
    finally:
        main.__spec__ = spec
        if file is not None:
            main.__file__ = file


@contextlib.contextmanager
def _ctrl_c_held_back() -> Iterator[None]:
    """Children inherit what a thread holds back; this thread hears of it at the end."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # a child's start would start it, and hold back nothing then
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
