"""Names of files that cannot be written into a result."""

from __future__ import annotations

from pathlib import Path

from hoverfast_platform.errors import UnreadableSlideError
from hoverfast_platform.texts import one_line


def check_name(path: Path) -> None:
    """Refuse a file whose name cannot be written into a result.

    Raises:
        UnreadableSlideError: If the name's bytes are not UTF-8, or it has control characters.
    """
    if printable(path) != str(path):
        raise UnreadableSlideError(
            f"{printable(path)} has a name with control characters or that is not valid UTF-8.",
            "Rename it.",
        )


def printable(path: Path | str) -> str:
    """The path as text, with characters that cannot be shown written as escapes."""
    return one_line(str(path))
