"""Starting child processes from whatever program the engine runs in."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def main_not_imported_again() -> Iterator[None]:
    """Let spawned children start without the parent's ``__main__``.

    They need nothing of it. A person's script without ``if __name__ == "__main__"`` would run
    once more in each of them, and under Dagster each would take 3 to 4 s and the memory of
    Dagster. ``multiprocessing.spawn`` looks at these two attributes.
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
