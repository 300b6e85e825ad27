"""The folders in which slides arrive, and how long a file must stand still to count."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field

from hoverfast_platform.catalogue.watched_files import WatchedFiles
from hoverfast_platform.ingest.mpp_rules import MppRules
from hoverfast_platform.ingest.watch import look


class SlideFolders(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Watched folders; everything known about files in them is in the catalogue."""

    folders: list[str]
    """Looked through with all their subfolders."""
    settle_s: float = 30.0
    """A file counts when it stayed unchanged this long, over at least two looks. Slow copies
    that pause need more; nothing is lost if it is too short: the file is judged again."""

    mpp: dict[str, Any] = Field(default_factory=dict)
    """The scale of files by where they lie: fields of `MppRules`; empty: each file's own."""

    def mpp_rules(self) -> MppRules:
        """The scale of files by where they lie; the component has found the rules right."""
        return MppRules.model_validate(self.mpp)

    def look(self, files: WatchedFiles) -> tuple[str, ...]:
        """Bring the list of files up to date; what could not be looked at."""
        return look(files, [Path(folder) for folder in self.folders], settle_s=self.settle_s)
