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
    """Place of the scene.

    Raises:
        SettingsError: If there is none of that name.
    """
    if wanted in scenes:
        return scenes.index(wanted)
    raise SettingsError(
        f"{path.name} has no scene {wanted!r}; it has {', '.join(scenes[:20])}.",
        "`hoverfast slide info` lists them.",
    )
