"""Opening the database of a catalogue: a SQLite file, or PostgreSQL in a deployment.

The rest of the catalogue sees no difference between the two: one transaction writes at a time
while others wait for it, readers never wait, and a server that restarts is waited for. A failure
that remains is raised as one of our own errors, which says whether trying again can help.

A SQLite file is made and migrated when it is opened. A database on a server belongs to several
machines, so it is migrated once, on purpose (``hoverfast catalogue upgrade``), and merely
checked when it is opened.
"""

from __future__ import annotations

import functools
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from filelock import FileLock
from pydantic_core import to_json
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import ArgumentError, OperationalError, SQLAlchemyError

from hoverfast_platform.errors import CatalogueError, CatalogueUnavailableError, HoverFastError
from hoverfast_platform.file_system_errors import named_failure

CatalogueLocation: TypeAlias = Path | str
"""A SQLite file, or the URL of a PostgreSQL database (``postgresql://user@host/name``; a server
with a standby is ``postgresql://user@/name?host=first:5432&host=second:5432``)."""

CATALOGUE_NAME = "catalogue.sqlite"
"""In an output or artefact folder: what was made there, and from what."""

MIGRATIONS_DIR = Path(__file__).parent / "migrations"

_WRITES = "hoverfast_writes"
_MAX_WAIT_S = 300
"""A writer holds the lock for milliseconds; after minutes something hangs."""
_MAX_IDLE_S = 60
"""PostgreSQL ends a session that stops in the middle of a write, for instance on a machine
that went to sleep, so that the others go on."""
_ADVISORY_LOCK = 0x686F7665  # "hove"; any number that other programs do not use

_SERVER_AWAY_S = 120.0
"""How long a server may take to come back: a restart, a failover."""
_KNOCK_EVERY_S = 0.5
_LOCKED_EVERY_S = 0.02
_NOT_AWAY = (
    "password authentication",
    "no password",
    "does not exist",
    "pg_hba.conf",
    "unable to open database file",
)
"""Words in the text of a refused connection that waiting does not change."""

_LIBPQ = {
    "connect_timeout": 10,
    # A server that vanished without a word is noticed after a minute, not after two hours.
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
    "application_name": "hoverfast",
    # Of several servers the one that takes writes, and none while a standby is not promoted yet.
    "target_session_attrs": "read-write",
}
_READ_ONLY = "25006"
"""SQLSTATE of a write that a server refuses because it is, or has become, a standby."""


@dataclass(frozen=True)
class Database:
    """The reader and the writer of one database; they share their connections.

    Attributes:
        reader: Its transactions see one moment and wait for nobody.
        writer: Its transactions begin by waiting until no other one writes.
        run_id: Id of the run that writes, for instance Dagster's; kept with what it writes.
    """

    reader: Engine
    writer: Engine
    run_id: str = ""

    def close(self) -> None:
        """Close all connections."""
        self.reader.dispose()


def open_database(
    location: CatalogueLocation, *, server_away_s: float = _SERVER_AWAY_S
) -> Database:
    """Open a catalogue's database, at the newest revision.

    Args:
        location: File or URL. A file is made or migrated if need be.
        server_away_s: How long to wait for a server that cannot be reached, each time.

    Raises:
        CatalogueUnavailableError: If the server did not come back.
        CatalogueError: If it is not a catalogue, or was made by another version.
    """
    url = database_url(location)
    database = _connect(url, server_away_s)
    try:
        if url.drivername == "sqlite":
            _bring_file_up_to_date(database, Path(str(url.database)))
        else:
            _check_revision(database, url)
    except HoverFastError:
        database.close()
        raise
    except (SQLAlchemyError, CommandError, OSError) as error:
        database.close()
        raise CatalogueError(
            f"{shown(url)} cannot be used as a catalogue: {error}",
            "It may belong to a newer version of the platform, be damaged, or lie where it "
            "cannot be written.",
        ) from error
    return database


def upgrade_database(location: CatalogueLocation) -> tuple[str | None, str]:
    """Bring a database to the newest revision; return the revisions before and after.

    All of it happens or nothing. Of two callers at once, one waits and then finds it done.

    Raises:
        CatalogueError: If it cannot be reached, or was made by a newer version.
    """
    url = database_url(location)
    if url.drivername == "sqlite":
        _make_folder_of(Path(str(url.database)))
    database = _connect(url, _SERVER_AWAY_S)
    try:
        before = current_revision(database)
        _migrate(database)
    except (SQLAlchemyError, CommandError) as error:
        raise CatalogueError(
            f"{shown(url)} cannot be brought to revision {newest_revision()}: {error}",
            "Nothing was changed. If it was made by a newer version of the platform, use that.",
        ) from error
    finally:
        database.close()
    return before, newest_revision()


def database_url(location: CatalogueLocation) -> URL:
    """The place of a catalogue, in the form that SQLAlchemy takes.

    Raises:
        CatalogueError: If it is the URL of something else than PostgreSQL, or cannot be parsed.
    """
    if isinstance(location, Path) or "://" not in location:
        return URL.create("sqlite", database=str(Path(location).absolute()))
    try:
        url = make_url(location)
    except (ArgumentError, ValueError):  # their text would repeat parts of the password
        url = None
    # An @ left in host or name is one of the password, whose rest they would show.
    if url is None or "@" in f"{url.host}{url.database}":
        raise CatalogueError(
            "The catalogue's URL cannot be parsed.",
            "Give postgresql://user:password@host:5432/name, or with several servers "
            "postgresql://user:password@/name?host=first:5432&host=second:5432; write @ : / % in "
            "a password as %40 %3A %2F %25.",
        ) from None
    if url.get_backend_name() != "postgresql":
        raise CatalogueError(
            f"A catalogue on {url.get_backend_name()!r} is not supported.",
            "Give a file for SQLite, or postgresql://user:password@host/name.",
        )
    # SQLAlchemy's own default driver differs between versions; Dagster brings this one.
    return url.set(drivername="postgresql+psycopg2")


def shown(location: CatalogueLocation | URL) -> str:
    """A location as people may see it: without its password."""
    url = location if isinstance(location, URL) else database_url(location)
    if url.drivername == "sqlite":
        return str(url.database)
    text = url.set(drivername="postgresql", query={}).render_as_string(hide_password=True)
    hosts = url.normalized_query.get("host", ())
    return text if url.host or not hosts else text.replace("@/", f"@{','.join(hosts)}/", 1)


def look_up_revision(location: CatalogueLocation) -> str | None:
    """The revision of a database; None if it holds no catalogue. Nothing is made or changed.

    Raises:
        CatalogueError: If it cannot be reached or read.
    """
    url = database_url(location)
    if url.drivername == "sqlite" and not Path(str(url.database)).exists():
        return None
    database = _connect(url, server_away_s=0)
    try:
        return current_revision(database)
    except HoverFastError:
        raise
    except (SQLAlchemyError, OSError) as error:
        raise CatalogueError(
            f"{shown(url)} cannot be read as a catalogue: {error}",
            "It may be damaged, or lie where it cannot be read.",
        ) from error
    finally:
        database.close()


@functools.cache
def newest_revision() -> str:
    """Return the newest revision among the migrations of this version of the platform."""
    head = ScriptDirectory(str(MIGRATIONS_DIR)).get_current_head()
    assert head is not None
    return head


def current_revision(database: Database) -> str | None:
    """The revision of a database; None if it holds no catalogue."""
    with database.reader.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def _make_folder_of(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CatalogueError(
            f"The folder of {path} cannot be made: {error}",
            "Its place may be read-only, belong to another user, or be a file.",
        ) from error


def _bring_file_up_to_date(database: Database, path: Path) -> None:
    _make_folder_of(path)
    # The lock also covers the switch to WAL, for which SQLite itself does not wait.
    with FileLock(f"{path}.lock"):
        if current_revision(database) != newest_revision():
            _migrate(database)


def _check_revision(database: Database, url: URL) -> None:
    revision = current_revision(database)
    if revision == newest_revision():
        return
    if revision is None:
        raise CatalogueError(
            f"{shown(url)} holds no catalogue yet.", "Make it once: hoverfast catalogue upgrade."
        )
    known = {script.revision for script in ScriptDirectory(str(MIGRATIONS_DIR)).walk_revisions()}
    if revision in known:
        raise CatalogueError(
            f"{shown(url)} is at revision {revision}, this version needs {newest_revision()}.",
            "Stop all runs, back it up, and migrate it once: hoverfast catalogue upgrade.",
        )
    raise CatalogueError(
        f"{shown(url)} is at revision {revision}, which this version does not know.",
        "It was migrated by a newer version of the platform: use that one here too.",
    )


def _migrate(database: Database) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS_DIR))
    with database.writer.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _connect(url: URL, server_away_s: float) -> Database:
    if url.drivername == "sqlite":
        engine = create_engine(
            url, connect_args={"timeout": _MAX_WAIT_S}, json_serializer=_strict_json
        )
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        try:
            engine = create_engine(
                url,
                connect_args={k: v for k, v in _LIBPQ.items() if k not in url.query},
                pool_pre_ping=True,
                json_serializer=_strict_json,
            )
        except ModuleNotFoundError as error:
            raise CatalogueError(
                "The driver for PostgreSQL is not installed.",
                "pip install 'hoverfast-platform[postgresql]'",
            ) from error
        event.listen(engine, "do_connect", _Knock(server_away_s))
        event.listen(engine, "begin", _begin_postgresql)
    event.listen(engine, "handle_error", _explain)
    return Database(engine, engine.execution_options(**{_WRITES: True}))


def _strict_json(value: Any) -> str:
    """JSON with null for NaN and infinity (the score of no images): PostgreSQL refuses those."""
    return to_json(value, inf_nan_mode="null").decode()


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # The driver's own BEGIN comes too late: after the reading that a write depends on.
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys=ON")
    give_up_at = time.monotonic() + _MAX_WAIT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            # While another one makes the file, this is refused at once: SQLite waits for
            # transactions only.
            if "locked" not in str(error) or time.monotonic() >= give_up_at:
                raise
            time.sleep(_LOCKED_EVERY_S)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    # A transaction that begins by reading and then writes is told "database is locked" at
    # once if another one wrote in between; one that begins as a writer waits.
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _begin_postgresql(connection: Connection) -> None:
    if not connection.get_execution_options().get(_WRITES, False):
        return
    # Of this transaction only, so that a connection pooler in between does no harm.
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_MAX_WAIT_S}s'")
    connection.exec_driver_sql(f"SET LOCAL idle_in_transaction_session_timeout = '{_MAX_IDLE_S}s'")
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")


@dataclass(frozen=True)
class _Knock:
    """Makes connections, and waits for a server that is away for a moment."""

    server_away_s: float

    def __call__(self, dialect: Any, _record: object, cargs: Any, cparams: Any) -> Any:
        give_up_at = time.monotonic() + self.server_away_s
        while True:
            try:
                return dialect.connect(*cargs, **cparams)
            except dialect.loaded_dbapi.OperationalError as error:
                is_away = not any(text in str(error) for text in _NOT_AWAY)
                if not is_away or time.monotonic() >= give_up_at:
                    raise
            time.sleep(_KNOCK_EVERY_S)


def _explain(context: ExceptionContext) -> None:
    """Raise one of our own errors where the server was lost or a lock was never given."""
    error = context.original_exception
    if context.is_pre_ping or not isinstance(error, Exception):
        return  # the pool connects anew by itself; Ctrl-C is not a lost server
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if "database is locked" in text or "lock timeout" in text:
        raise CatalogueUnavailableError(
            f"The catalogue was being written for more than {_MAX_WAIT_S} s by others.",
            "A process that writes hangs, or the file lies on a network share that does not lock: "
            "keep SQLite on a local disk, and use PostgreSQL from several machines.",
        ) from error
    if context.dialect.name == "sqlite":
        failed = named_failure(f"The catalogue's file cannot be read or written: {text}.", error)
        if failed is not None:
            raise failed from error
    if getattr(error, "pgcode", None) == _READ_ONLY:
        context.is_disconnect = True  # so that no connection to this server is used again
        raise CatalogueUnavailableError(
            f"The catalogue's server takes no writes: {text}",
            "Another server may have taken its place. Run again; if this stays, give the address "
            "of the server that takes writes, or of all of them (deploy/README.md).",
        ) from error
    is_refused = context.connection is None and isinstance(
        context.sqlalchemy_exception, OperationalError
    )
    if context.is_disconnect or (is_refused and not any(word in text for word in _NOT_AWAY)):
        raise CatalogueUnavailableError(
            f"The catalogue's server cannot be reached: {text}",
            "It may be restarting. Run again: what is recorded already is not recorded twice.",
        ) from error
