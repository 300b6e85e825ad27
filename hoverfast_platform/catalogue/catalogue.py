"""The catalogue of one platform or one results folder, by aspect.

Reads use the database's reader, writes its writer: see ``catalogue.database``. Each aspect owns
its sessions.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Self

from hoverfast_platform.catalogue.cohorts import Cohorts
from hoverfast_platform.catalogue.database import CatalogueLocation, Database, open_database
from hoverfast_platform.catalogue.descent import Descent
from hoverfast_platform.catalogue.models import Models
from hoverfast_platform.catalogue.results import Results
from hoverfast_platform.catalogue.slides import Slides
from hoverfast_platform.catalogue.watched_files import WatchedFiles
from hoverfast_platform.catalogue.withdrawals import Withdrawals


class Catalogue:
    """The metadata database.

    Attributes:
        slides: Slides by content, their masks, what they look like.
        models: Model versions, which of them is promoted, and what was measured of them.
        descent: What models descend from: labels and their licences, training sets, models.
        cohorts: Versions of cohorts.
        results: Segmentations, which of them are current, failures, lineage.
        files: Slide files in watched folders.
        withdrawals: What must not be used any more, and what was made of it.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.slides = Slides(database)
        self.models = Models(database)
        self.descent = Descent(database)
        self.cohorts = Cohorts(database)
        self.results = Results(database)
        self.files = WatchedFiles(database)
        self.withdrawals = Withdrawals(database)

    @classmethod
    def open(cls, location: CatalogueLocation, *, run_id: str = "") -> Catalogue:
        """Open a catalogue: a SQLite file or the URL of a PostgreSQL database.

        A file is made or migrated if need be; two processes may do so at once. A database on
        a server is made and migrated by ``hoverfast catalogue upgrade``.

        Args:
            location: File or URL.
            run_id: Id of the run that opens it; kept with everything it records.

        Raises:
            CatalogueUnavailableError: If the server cannot be reached.
            CatalogueError: If it is not a catalogue, or was made by another version.
        """
        return cls(replace(open_database(location), run_id=run_id))

    def close(self) -> None:
        """Close all connections."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
