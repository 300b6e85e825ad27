"""Names that become files: one part of a path and no more, whoever thought of them."""

from __future__ import annotations

from hoverfast_platform.errors import SettingsError


def one_name(name: str) -> str:
    """The name itself, if a file below a folder may be called that.

    Raises:
        SettingsError: If it could lead out of the folder.
    """
    is_one = name not in ("", ".", "..") and not any(c in name for c in "/\\\0")
    if not is_one:
        raise SettingsError(
            f"{name!r} cannot be the name of a file: it is empty, or leads into another folder.",
            "Use letters, digits, dot, dash and underscore.",
        )
    return name
