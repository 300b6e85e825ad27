"""The ``--catalogue`` of all commands: a SQLite file or the URL of a PostgreSQL database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

VARIABLE = "HOVERFAST_CATALOGUE"
"""Where a password can be without being seen in the list of processes."""


class CatalogueType(click.ParamType):  # type: ignore[type-arg] # generic only from 8.3 on
    """Gives a ``Path`` or, for a URL, a ``str``."""

    name = "file|url"

    def __init__(self, *, exists: bool = True) -> None:
        self._exists = exists

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Path | str:
        text = str(value)
        if "://" in text:
            return text
        path = Path(text)
        if path.is_dir() or (self._exists and not path.exists()):
            self.fail(f"there is no file {text}; a URL begins with postgresql://", param, ctx)
        return path
