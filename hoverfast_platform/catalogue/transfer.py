"""Copying a whole catalogue: from a workstation's file to a server, and back."""

from __future__ import annotations

from sqlalchemy import Connection, Table, func, insert, select

from hoverfast_platform.catalogue.database import (
    CatalogueLocation,
    Database,
    open_database,
    shown,
)
from hoverfast_platform.catalogue.tables import Base
from hoverfast_platform.errors import CatalogueError

_ROWS_AT_ONCE = 1_000


def count_rows(location: CatalogueLocation) -> dict[str, int]:
    """How many rows every table of a catalogue has.

    Raises:
        CatalogueError: If it cannot be opened.
    """
    database = open_database(location)
    try:
        with database.reader.begin() as connection:
            return {table.name: _count(connection, table) for table in _tables()}
    finally:
        database.close()


def copy_catalogue(source: CatalogueLocation, target: CatalogueLocation) -> dict[str, int]:
    """Copy all rows as they were at one moment; return how many each table has.

    All of it arrives or nothing. Paths of slides and results are copied as they are: whoever
    uses the copy must find the files under the same paths.

    Raises:
        CatalogueError: If one cannot be opened, or the target is not empty.
    """
    from_database, to_database = open_database(source), open_database(target)
    try:
        return _copy(from_database, to_database, shown(target))
    finally:
        from_database.close()
        to_database.close()


def _copy(source: Database, target: Database, target_name: str) -> dict[str, int]:
    copied = {}
    reader = source.reader
    if reader.dialect.name == "postgresql":  # there only this lets several queries see one moment
        reader = reader.execution_options(isolation_level="REPEATABLE READ")
    with reader.begin() as old, target.writer.begin() as new:
        for table in _tables():
            if _count(new, table):
                raise CatalogueError(
                    f"{target_name} is not empty: it has rows in {table.name}.",
                    "Copy into a fresh catalogue.",
                )
        for table in _tables():
            rows = old.execution_options(yield_per=_ROWS_AT_ONCE).execute(
                select(table).order_by(table.c.id)
            )
            for chunk in rows.mappings().partitions():
                new.execute(insert(table), [dict(row) for row in chunk])
            copied[table.name] = _count(new, table)
            if new.dialect.name == "postgresql":
                _continue_numbering(new, table)
    return copied


def _continue_numbering(connection: Connection, table: Table) -> None:
    """Let new rows get new numbers, since the copied rows kept theirs."""
    highest = select(func.max(table.c.id)).scalar_subquery()
    sequence = func.pg_get_serial_sequence(table.name, "id")
    connection.execute(select(func.setval(sequence, highest)).where(highest.is_not(None)))


def _count(connection: Connection, table: Table) -> int:
    return connection.scalar(select(func.count()).select_from(table)) or 0


def _tables() -> list[Table]:
    """All tables; those that others refer to come first."""
    return Base.metadata.sorted_tables
