"""The scale of slides whose files do not say it, by where they lie: a scanner's own folder."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

from pydantic import Field

from hoverfast_platform.config import Settings
from hoverfast_platform.files import read_settings_file_if_any


class MppRule(Settings):
    """A scale, and the files that have it whatever they say themselves."""

    files: str = Field(min_length=1)
    """Name or whole path of the slide's file; ``*``, ``?`` and ``[...]`` as in a shell, and
    ``*`` matches folders too: ``*/scanner_2/*``, ``*_20x.tiff``."""

    mpp: float = Field(gt=0, le=50)
    """Micrometres per level-0 pixel."""


class MppRules(Settings):
    """Rules in order; the first that matches a file decides. Without one the file's own mpp counts.

    A rule is a statement of a person, and recorded as such with the slide.
    """

    rules: tuple[MppRule, ...] = ()

    def mpp(self, path: Path) -> float | None:
        """Micrometres per pixel that a rule gives a file; None: no rule names it."""
        for rule in self.rules:
            if path.name == rule.files or any(
                fnmatchcase(name, rule.files) for name in (path.name, str(path))
            ):
                return rule.mpp
        return None


def read_mpp_rules(path: Path) -> MppRules:
    """The rules in a file; without the file there are none.

    Raises:
        SettingsError: If it is wrong; every wrong field is named.
    """
    return read_settings_file_if_any(path, MppRules, what="a file of rules for mpp")
