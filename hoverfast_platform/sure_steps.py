"""Renaming and removing where a network share may say that it failed although it did not.

A client that gets no answer sends its request again. The server has done it by then, and answers
the second one that there is nothing to rename or to remove. So whoever is told that looks whether
what was wanted is there.
"""

from __future__ import annotations

import shutil
from pathlib import Path

_N_ATTEMPTS = 3


def rename(old: Path, new: Path) -> None:
    """Give a file or folder another name; a file that has that name is replaced.

    Raises:
        OSError: If it could not be done.
    """
    status = old.stat()
    try:
        old.replace(new)
    except FileNotFoundError:
        found = new.stat() if new.exists() else None
        if found is None or (found.st_dev, found.st_ino) != (status.st_dev, status.st_ino):
            raise


def remove_folder(folder: Path) -> None:
    """Remove a folder and all in it; what is gone already does not matter.

    Raises:
        OSError: If something is left: on a network share a file that is still open stays as
            ``.nfs...`` until it is closed.
    """
    for _ in range(_N_ATTEMPTS):
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:
            if not folder.exists():
                return
        else:
            return
    shutil.rmtree(folder)
