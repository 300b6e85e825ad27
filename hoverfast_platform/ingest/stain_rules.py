"""What slides are stained with, by where they lie: files do not say it, folders usually do."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

from pydantic import Field

from hoverfast_platform.config import Settings, Staining
from hoverfast_platform.files import read_settings_file_if_any


class StainRule(Settings):
    """A stain and the slides that have it."""

    files: str = Field(min_length=1)
    """Name or whole path of the slide's file; ``*``, ``?`` and ``[...]`` as in a shell, and
    ``*`` matches folders too: ``*/ki67/*``, ``*_ER.svs``."""

    staining: Staining


class StainRules(Settings):
    """Rules in order; a slide has the stain of the first that matches it."""

    rules: tuple[StainRule, ...] = ()

    otherwise: Staining = Staining()
    """The stain of slides that no rule matches."""

    def staining(self, slide_path: Path) -> Staining:
        """What a slide is stained with."""
        for rule in self.rules:
            if slide_path.name == rule.files or any(
                fnmatchcase(name, rule.files) for name in (slide_path.name, str(slide_path))
            ):
                return rule.staining
        return self.otherwise


def read_stain_rules(path: Path) -> StainRules:
    """The rules in a file; without the file every slide is H&E.

    Raises:
        SettingsError: If it is wrong; every wrong field is named.
    """
    return read_settings_file_if_any(path, StainRules, what="a file of stain rules")
