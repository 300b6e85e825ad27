"""The folders in which slides arrive, and how long a file must stand still to count."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from hoverfast_platform.catalogue.watched_files import WatchedFiles
from hoverfast_platform.ingest.watch import look


class SlideFolders(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Watched folders; everything known about files in them is in the catalogue."""

    folders: list[str]
    """Looked through with all their subfolders."""
    settle_s: float = 30.0
    """A file counts when it stayed unchanged this long, over at least two looks. Slow copies
    that pause need more; nothing is lost if it is too short: the file is judged again."""

    def look(self, files: WatchedFiles) -> tuple[str, ...]:
        """Bring the list of files up to date; what could not be looked at."""
        return look(files, [Path(folder) for folder in self.folders], settle_s=self.settle_s)
