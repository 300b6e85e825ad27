"""Which scope slides belong to, and so whose promoted model they are segmented with.

Rules go by where a slide lies and by its stain; a lab's own table may say it slide by slide.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path

from pydantic import Field

from hoverfast_platform.catalogue import DEFAULT_SCOPE
from hoverfast_platform.config import Settings, Stain
from hoverfast_platform.errors import SettingsError, StorageError
from hoverfast_platform.files import read_settings_file_if_any
from hoverfast_platform.storage.foreign_table import ForeignTable, read_table


class ScopeRule(Settings):
    """A scope and the slides that belong to it; what a rule leaves open matches every slide."""

    files: str = Field(default="*", min_length=1)
    """Name or whole path of the slide's file; ``*``, ``?`` and ``[...]`` as in a shell, and
    ``*`` matches folders too: ``*/breast/*``, ``TCGA-A2-*.svs``."""

    stain: Stain | None = None
    """Only slides that are taken to have this stain."""

    scope: str = Field(min_length=1)
    """Name of the scope, such as ``breast``: its promoted model is used."""


class ScopeTable(Settings):
    """A lab's own table, with a row for each slide."""

    file: Path
    """CSV or TSV; a relative path is seen from the folder of the rules."""

    column: str = "scope"
    """Name of the column that holds the scope, or something that decides it, such as ``tissue``.
    The column ``slide`` holds the file's name or stem."""

    scopes: dict[str, str] = Field(default_factory=dict)
    """Scope of each value of the column; a value that is not listed here is the name of a scope."""


class ScopeRules(Settings):
    """The table first, then the rules in order; the first that knows a slide decides."""

    table: ScopeTable | None = None
    rules: tuple[ScopeRule, ...] = ()

    otherwise: str = DEFAULT_SCOPE
    """Scope of the slides that neither the table nor a rule names."""

    def scope(self, slide_path: Path, stain: Stain) -> str:
        """The scope of a slide.

        Raises:
            SettingsError: If the table cannot be read, or names the slide more than once with
                different scopes.
        """
        said = self._said_by_table(slide_path)
        if said is not None:
            return said
        for rule in self.rules:
            if rule.stain in (None, stain) and any(
                fnmatchcase(name, rule.files) for name in (slide_path.name, str(slide_path))
            ):
                return rule.scope
        return self.otherwise

    def names(self) -> tuple[str, ...]:
        """All scopes that a slide may get, each once; first that of slides that nothing names."""
        named = [self.otherwise, *(rule.scope for rule in self.rules)]
        if self.table is not None:
            table, rows = self.table, self._rows
            values = (row[table.column.lower()] for row in rows.rows) if rows else ()
            named += sorted({table.scopes.get(value, value) for value in values if value})
        return tuple(dict.fromkeys(named))

    def _said_by_table(self, slide_path: Path) -> str | None:
        if self.table is None or self._rows is None:
            return None
        try:
            value = self._rows.value(slide_path, self.table.column.lower())
        except StorageError as error:
            raise SettingsError(error.message, error.remedy) from error
        return self.table.scopes.get(value, value) if value else None

    @cached_property
    def _rows(self) -> ForeignTable | None:
        if self.table is None:
            return None
        try:
            return read_table(self.table.file, ("slide", self.table.column.lower()))
        except StorageError as error:
            raise SettingsError(error.message, error.remedy) from error


def read_scope_rules(path: Path) -> ScopeRules:
    """The rules in a file; without the file every slide is in the scope ``default``.

    Raises:
        SettingsError: If it is wrong; every wrong field is named.
    """
    rules = read_settings_file_if_any(path, ScopeRules, what="a file of scope rules")
    if rules.table is None:
        return rules
    table = rules.table.model_copy(update={"file": path.parent / rules.table.file})
    return rules.model_copy(update={"table": table})
