"""What the arguments of a command stand for: files, folders, patterns the shell did not expand."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from hoverfast_platform.access_errors import is_there
from hoverfast_platform.errors import SettingsError


def expand(
    arguments: Sequence[str], files_in_folder: Callable[[Path], Iterable[Path]]
) -> list[Path]:
    """Files in the order given, each once.

    What exists is taken as it is, brackets and stars in its name included; only then is it read
    as a pattern. A plain name that does not exist is kept: it fails alone, with the others.

    Args:
        arguments: As given on the command line.
        files_in_folder: Which files a folder stands for.

    Raises:
        SettingsError: If a pattern or a folder stands for no file, or not one file exists.
        PermissionError: If a folder may not be listed: patterns would find nothing in it.
    """
    found: dict[Path, None] = {}
    for argument in arguments:
        path = Path(argument)
        if path.is_dir():
            next(path.iterdir(), None)
            paths = sorted(files_in_folder(path))
        elif path.exists() or not glob.has_magic(argument):
            paths = [path]
        else:
            # Path.glob knows no absolute patterns.
            names = sorted(glob.glob(argument, recursive=True))  # noqa: PTH207
            paths = [Path(name) for name in names]
        if not paths:
            raise SettingsError(
                f"{argument} stands for no file.", "Check the spelling and the files' suffixes."
            )
        found.update(dict.fromkeys(paths))
    if not any(is_there(path) for path in found):  # told before a model is made ready
        absent = ", ".join(map(str, list(found)[:5]))
        raise SettingsError(f"There is no such file: {absent}.", "Check the path.")
    return list(found)
