"""What is wrong with settings, in words: each wrong field, and the name that was meant."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

_MAX_PROBLEMS = 10
_MAX_CHARACTERS = 60
"""A wrong value may be a whole file; so much of it is shown."""


def wrong_fields(error: ValidationError, model: type[BaseModel]) -> str:
    """Every wrong field of settings, one sentence each.

    Args:
        error: What pydantic found.
        model: The settings that were read.
    """
    problems = error.errors()
    told: list[str] = []
    listed: set[tuple[str | int, ...]] = set()  # places whose settings were named already
    for problem in problems[:_MAX_PROBLEMS]:
        told.append(_told(problem, model, listed))
    if len(problems) > _MAX_PROBLEMS:
        told.append(f"{len(problems) - _MAX_PROBLEMS} more fields are wrong.")
    return " ".join(told)


def _told(problem: Any, model: type[BaseModel], listed: set[tuple[str | int, ...]]) -> str:
    place: Sequence[str | int] = problem["loc"]
    name = ".".join(map(str, place))
    if problem["type"] == "extra_forbidden":
        known = _fields(model, place[:-1])
        near = difflib.get_close_matches(str(place[-1]), known, n=1)
        if near:
            return f"{name} is not a setting; {near[0]} was probably meant."
        if not known or place[:-1] in listed:
            return f"{name} is not a setting."
        listed.add(tuple(place[:-1]))
        return f"{name} is not a setting; settings are {', '.join(known)}."
    if problem["type"] == "missing":
        return f"{name} is missing."
    text = str(problem["msg"]).removeprefix("Value error, ")
    if not name:
        return f"{text}."
    value = repr(problem["input"])
    shown = value if len(value) <= _MAX_CHARACTERS else f"{value[:_MAX_CHARACTERS]}..."
    return f"{name} = {shown}: {text}."


def _fields(model: type[BaseModel], place: Sequence[str | int]) -> list[str]:
    """The names of the fields where the settings are nested like this; empty if that is unclear."""
    models: list[type[BaseModel]] = [model]
    for part in place:
        if isinstance(part, int):  # an item of a list: the models are those of its items
            continue
        annotations = [m.model_fields[part].annotation for m in models if part in m.model_fields]
        models = [found for annotation in annotations for found in _models_in(annotation)]
    return sorted({name for m in models for name in m.model_fields})


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """The settings that an annotation names, such as ``tuple[Rule, ...]`` or ``Rule | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for inner in get_args(annotation) for found in _models_in(inner)]
