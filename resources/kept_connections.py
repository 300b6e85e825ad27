"""Dagster's connections to PostgreSQL during a run: kept, instead of one made per statement.

Dagster opens and closes a connection for nearly every statement, some twenty per slide and
asset, and each costs more than what is asked through it (docs/scaling.md has the figures).
"""

from __future__ import annotations

from typing import Any

import dagster as dg


class KeptConnections:
    """While it exists, the storages of an instance keep their connections.

    One that broke is noticed before it is used and replaced, with Dagster's own patience, so a
    restart of the server is outlived as before. Does nothing on SQLite.
    """

    def __init__(self, instance: dg.DagsterInstance) -> None:
        # No public spelling exists in 1.13: `optimize_for_webserver` neither looks whether a
        # connection is alive nor lets a statement take long.
        storages: list[Any] = [instance.event_log_storage, instance.run_storage]
        self._before = [
            (storage, storage._engine)
            for storage in storages
            if getattr(getattr(storage, "_engine", None), "name", "") == "postgresql"
        ]
        for storage, _ in self._before:
            from dagster_postgres.utils import create_pg_engine

            storage._engine = create_pg_engine(
                storage.postgres_url,
                storage._token_provider,
                isolation_level="AUTOCOMMIT",
                pool_pre_ping=True,
            )

    def close(self) -> None:
        """Close them; from here on connections are made per statement again."""
        for storage, engine in self._before:
            storage._engine.dispose()
            storage._engine = engine
        self._before = []
