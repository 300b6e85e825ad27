"""What lies in a file's place where a download, or a copy of a repository, brought something else.

A web page that asks for a login, a pointer of Git LFS: the file is not damaged, and the remedy is
another one. Every reader of foreign files asks here when it cannot read one.
"""

from __future__ import annotations

from pathlib import Path

from hoverfast_platform.errors import HoverFastError

_HEAD_BYTES = 512
_DOWNLOAD = "The download failed or needs a login; download it again."
_KINDS = (
    (b"<!doctype html", "a web page", _DOWNLOAD),
    (b"<html", "a web page", _DOWNLOAD),
    (b'<?xml version="1.0" encoding="utf-8"?>\n<error>', "an error message of a store", _DOWNLOAD),
    (b"version https://git-lfs", "a pointer of Git LFS", "Run `git lfs pull` where it lies."),
    (b"/annex/objects/", "a pointer of git-annex", "Run `git annex get` where it lies."),
)


def refuse_stand_in(path: Path, meant: str, raises: type[HoverFastError]) -> None:
    """Pass unless something else was put in the file's place.

    Args:
        path: The file; one that cannot be opened passes.
        meant: What it should have been, for the message: ``a slide``.
        raises: The error to raise.

    Raises:
        HoverFastError: Of type ``raises``, naming what it is and how the file itself is had.
    """
    try:
        if not path.is_file():  # a pipe would be waited for
            return
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        return
    head = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for start, what, remedy in _KINDS:
        if head.startswith(start):
            raise raises(f"{path} is {what}, not {meant}.", remedy)
