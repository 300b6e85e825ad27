"""JSON that commands print with ``--json``: one text, and nothing else on standard output."""

from __future__ import annotations

import dataclasses
import datetime
import json
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
"""For commands that list or show something."""


def json_text(value: Any) -> str:
    """Values, settings, paths and moments as indented JSON."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=_plain)


def fields_of(value: Any) -> dict[str, Any]:
    """The fields of a frozen value, by name."""
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def _plain(value: object) -> object:
    """Raises TypeError for what has no JSON form, as ``json`` expects it."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return fields_of(value)
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no JSON form.")
