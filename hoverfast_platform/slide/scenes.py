"""The images of a file that holds several, chosen by name or by number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from hoverfast_platform.errors import SettingsError


def scene_names(names: Sequence[str]) -> tuple[str, ...]:
    """Names by which each can be chosen: its own, or its number where that says nothing.

    >>> scene_names(["a", "", "b", "b"])
    ('a', '2', '3', '4')
    """
    how_often = Counter(names)
    return tuple(
        name if name and how_often[name] == 1 else str(number)
        for number, name in enumerate(names, start=1)
    )


def find_scene(path: Path, scenes: Sequence[str], wanted: str) -> int:
    """Place of the scene that has the name, else of the one that has the number, from 1.

    Raises:
        SettingsError: If there is none.
    """
    if wanted in scenes:
        return scenes.index(wanted)
    if wanted.isdecimal() and 1 <= int(wanted) <= len(scenes):
        return int(wanted) - 1
    raise SettingsError(
        f"{path.name} has no scene {wanted!r}; it has {', '.join(scenes[:20])}.",
        "Give one of these names, or a number; the first is 1.",
    )
