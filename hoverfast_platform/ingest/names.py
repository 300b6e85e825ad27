"""Names of files that cannot be written into a result."""

from __future__ import annotations

from pathlib import Path

from hoverfast_platform.errors import UnreadableSlideError


def check_name(path: Path) -> None:
    """Refuse a file whose name cannot be written into a result.

    Raises:
        UnreadableSlideError: If the name's bytes are no UTF-8.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise UnreadableSlideError(
            f"{printable(path)} has a name that is not valid UTF-8.", "Rename it."
        ) from error


def printable(path: Path | str) -> str:
    """The path with what cannot be shown replaced."""
    return str(path).encode("utf-8", "replace").decode()
