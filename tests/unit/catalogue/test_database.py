"""What SQLite and PostgreSQL must do alike, told by processes, outages and older revisions."""

import dataclasses
import datetime
import sqlite3
import subprocess
import sys
import threading
import uuid

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import (
    JSON,
    Boolean,
    DateTime,
    Float,
    Integer,
    MetaData,
    String,
    create_engine,
    insert,
    select,
    text,
)

from hoverfast_platform.catalogue import Catalogue, FailureRecord, ModelRecord
from hoverfast_platform.catalogue.database import (
    MIGRATIONS_DIR,
    database_url,
    newest_revision,
    open_database,
    shown,
    upgrade_database,
)
from hoverfast_platform.catalogue.tables import AnyText, Base
from hoverfast_platform.catalogue.transfer import copy_catalogue, count_rows
from hoverfast_platform.errors import CatalogueError, CatalogueUnavailableError
from tests.postgres_server import PASSWORD
from tests.unit.catalogue.test_catalogue import SLIDE, segmentation

REVISIONS = [
    s.revision for s in reversed(list(ScriptDirectory(str(MIGRATIONS_DIR)).walk_revisions()))
]

FAILURE = FailureRecord("/x.svs", "missing_mpp", "no mpp", "--mpp", "r")


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_location(request, tmp_path):
    """Where a catalogue may be made, and none is."""
    if request.param == "sqlite":
        return tmp_path / "catalogue.sqlite"
    return request.getfixturevalue("postgres_url")


def migrate_to(location, revision):
    engine = create_engine(database_url(location))
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS_DIR))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()


def fill(location, n=3):
    """Put ``n`` rows into every table there is, of whatever columns it has."""
    engine = create_engine(database_url(location))
    tables = MetaData()
    with engine.begin() as connection:
        tables.reflect(connection)
        for table in tables.sorted_tables:
            if table.name != "alembic_version":
                connection.execute(insert(table), [row_of(table, i) for i in range(1, n + 1)])
    before = contents(engine)
    engine.dispose()
    return before


def row_of(table, i):
    values = {}
    for column in table.columns:
        if column.primary_key or column.foreign_keys:
            values[column.name] = i
        elif isinstance(column.type, JSON):
            values[column.name] = {"n": i, "text": "Gr\u00f6\u00dfe"}
        elif isinstance(column.type, DateTime):
            values[column.name] = datetime.datetime(2026, 1, i, 12, tzinfo=datetime.UTC)
        elif isinstance(column.type, Boolean):
            values[column.name] = True
        elif isinstance(column.type, Integer | Float):
            values[column.name] = i
        else:
            values[column.name] = f"{i} {column.name}"[: column.type.length]
    return values


def contents(engine):
    """Rows of all tables, by table and column."""
    tables = MetaData()
    with engine.connect() as connection:
        tables.reflect(connection)
        return {
            table.name: [dict(row) for row in connection.execute(select(table)).mappings()]
            for table in tables.sorted_tables
            if table.name != "alembic_version"
        }


def is_another_type(context, column, declared, found, wanted):
    """None leaves it to Alembic. SQLite's tables keep lengths, which it never looked at."""
    is_text = isinstance(found, String) and isinstance(declared.type, AnyText)
    return False if is_text and context.dialect.name == "sqlite" else None


def test_migrations_make_the_declared_tables(empty_location):
    upgrade_database(empty_location)
    engine = create_engine(database_url(empty_location))

    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": is_another_type})
        differences = compare_metadata(context, Base.metadata)

    engine.dispose()
    assert differences == []


@pytest.mark.parametrize("revision", REVISIONS)
def test_every_earlier_revision_keeps_its_rows_when_it_is_migrated(empty_location, revision):
    migrate_to(empty_location, revision)
    before = fill(empty_location)

    assert upgrade_database(empty_location) == (revision, newest_revision())

    engine = create_engine(database_url(empty_location))
    after = contents(engine)
    engine.dispose()
    assert all(len(rows) == 3 for rows in before.values())
    for table, rows in before.items():
        kept = [{name: row[name] for name in rows[0]} for row in after[table]]
        assert kept == rows, table
    Catalogue.open(empty_location).close()


def test_migration_that_dies_half_way_changes_nothing(empty_location, monkeypatch):
    migrate_to(empty_location, REVISIONS[0])
    before = fill(empty_location)
    from alembic.operations import Operations

    made = []

    def create_table(self, name, *args, **kwargs):
        made.append(name)
        if len(made) > 1:
            raise OSError("power failure")
        return original(self, name, *args, **kwargs)

    original = Operations.create_table
    monkeypatch.setattr(Operations, "create_table", create_table)
    with pytest.raises(OSError, match="power failure"):
        upgrade_database(empty_location)
    monkeypatch.undo()

    engine = create_engine(database_url(empty_location))
    after = contents(engine)
    engine.dispose()
    assert made
    assert after == before
    assert upgrade_database(empty_location) == (REVISIONS[0], newest_revision())


def test_upgrading_twice_at_once_does_it_once(empty_location):
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(upgrade_database(empty_location)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [after for _, after in results] == [newest_revision()] * 3
    assert upgrade_database(empty_location) == (newest_revision(), newest_revision())


def test_server_is_not_migrated_by_merely_opening_it(postgres_url):
    with pytest.raises(CatalogueError, match="holds no catalogue yet"):
        Catalogue.open(postgres_url)
    migrate_to(postgres_url, REVISIONS[0])
    with pytest.raises(CatalogueError, match="hoverfast catalogue upgrade"):
        Catalogue.open(postgres_url)


def test_database_of_a_newer_version_is_refused(empty_location):
    upgrade_database(empty_location)
    engine = create_engine(database_url(empty_location))
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()

    for use in (Catalogue.open, upgrade_database):
        with pytest.raises(CatalogueError, match="newer version"):
            use(empty_location)


def test_foreign_file_is_refused(tmp_path):
    (tmp_path / "x.sqlite").write_bytes(b"this is no database, but it is long enough" * 10)
    with pytest.raises(CatalogueError, match="cannot be used"):
        Catalogue.open(tmp_path / "x.sqlite")


WRITER = """
import dataclasses, sys
from hoverfast_platform.catalogue import Catalogue, FailureRecord, ModelRecord
from tests.unit.catalogue.test_catalogue import SLIDE, segmentation

for i in range(int(sys.argv[3])):
    with Catalogue.open(sys.argv[1]) as catalogue:  # as assets do: opened for every record
        slide = dataclasses.replace(SLIDE, sha256=f"{i:010d}" + "0" * 54)
        catalogue.register_slide(slide)
        catalogue.record_done(segmentation(f"s{i}", slide=slide))
        catalogue.record_failure(FailureRecord(sys.argv[2], "k", "m", "r", str(i)))
"""


def test_processes_that_write_the_same_slides_at_once_all_succeed(catalogue_location):
    """Each registers the very slides and results the others do, as runs that overlap would."""
    n_writers = 4
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(catalogue_location), str(name), "15"],
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in range(n_writers)
    ]
    said = [writer.communicate()[1] for writer in writers]

    assert [writer.returncode for writer in writers] == [0] * n_writers, "".join(said)
    rows = count_rows(catalogue_location)
    assert rows["slides"] == rows["segmentations"] == 15
    assert rows["failures"] == 15 * n_writers


def test_fresh_file_may_be_opened_by_two_processes_at_once(tmp_path):
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "c.sqlite"), name, "5"])
        for name in "ab"
    ]

    assert [writer.wait() for writer in writers] == [0, 0]
    assert count_rows(tmp_path / "c.sqlite")["failures"] == 10


def test_writer_waits_for_one_that_has_read_before_it_writes(catalogue_location):
    """With a plain transaction SQLite says "database is locked" here, at once."""
    database = open_database(catalogue_location)
    began, may_end = threading.Event(), threading.Event()

    def write_slowly():
        with database.writer.begin() as connection:
            connection.execute(text("SELECT count(*) FROM slides"))
            began.set()
            may_end.wait(10)
            connection.execute(text("DELETE FROM failures"))

    slow = threading.Thread(target=write_slowly)
    slow.start()
    began.wait(10)
    with Catalogue.open(catalogue_location) as catalogue:
        assert catalogue.failures() == ()  # a reader does not wait
        quick = threading.Thread(target=lambda: catalogue.record_failure(FAILURE))
        quick.start()
        quick.join(0.3)
        assert quick.is_alive()
        may_end.set()
        slow.join()
        quick.join()
        assert catalogue.failures() == (FAILURE,)
    database.close()


def test_lock_that_is_never_given_is_explained(tmp_path, monkeypatch):
    monkeypatch.setattr("hoverfast_platform.catalogue.database._MAX_WAIT_S", 0.2)
    with Catalogue.open(tmp_path / "c.sqlite") as catalogue:
        other = sqlite3.connect(tmp_path / "c.sqlite", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(CatalogueUnavailableError, match="network share") as caught:
            catalogue.record_failure(FAILURE)
        other.close()
    assert caught.value.is_transient


def test_server_that_restarts_is_waited_for(postgres_server, postgres_url):
    upgrade_database(postgres_url)
    with Catalogue.open(postgres_url) as catalogue:
        catalogue.record_done(segmentation())
        postgres_server.stop()
        restart = threading.Timer(1.0, postgres_server.start)
        restart.start()

        catalogue.record_failure(FAILURE)  # its connections are dead, and nobody answers yet

        restart.join()
        assert catalogue.failures() == (FAILURE,)
        assert catalogue.lineage("s1").entries


def test_connection_lost_within_a_write_is_transient_and_writes_nothing(
    postgres_server, postgres_url
):
    upgrade_database(postgres_url)
    database = open_database(postgres_url)
    kill = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name = 'hoverfast'"
    )

    def write_and_lose_the_connection():
        with database.writer.begin() as connection:
            connection.execute(text("DELETE FROM failures"))
            postgres_server.sql(kill)
            connection.execute(text("DELETE FROM result_files"))

    with Catalogue.open(postgres_url) as catalogue:
        catalogue.record_failure(FAILURE)
        with pytest.raises(CatalogueUnavailableError) as caught:
            write_and_lose_the_connection()
        assert caught.value.is_transient
        assert catalogue.failures() == (FAILURE,)  # on a connection of its own
    database.close()


def test_server_that_is_killed_keeps_what_was_recorded(postgres_server, postgres_url):
    upgrade_database(postgres_url)
    with Catalogue.open(postgres_url) as catalogue:
        catalogue.record_done(segmentation())
        postgres_server.kill()
        postgres_server.start()

        assert len(catalogue.lineage("s1").entries) == 1


def test_writer_that_goes_to_sleep_does_not_stop_the_others(postgres_url, monkeypatch):
    monkeypatch.setattr("hoverfast_platform.catalogue.database._MAX_IDLE_S", 1)
    upgrade_database(postgres_url)
    sleeper = open_database(postgres_url)
    connection = sleeper.writer.connect()
    connection.execute(text("DELETE FROM failures"))

    with Catalogue.open(postgres_url) as catalogue:
        catalogue.record_failure(FAILURE)  # waits until the server has ended the sleeper
        with pytest.raises(CatalogueUnavailableError):
            connection.execute(text("DELETE FROM failures"))
        assert catalogue.failures() == (FAILURE,)
    connection.close()
    sleeper.close()


def test_absent_server_is_unavailable_but_a_wrong_password_is_not_waited_for(postgres_url):
    nobody = postgres_url.rsplit(":", 1)[0] + ":1/x"
    with pytest.raises(CatalogueUnavailableError, match="cannot be reached"):
        open_database(nobody, server_away_s=0)
    wrong = database_url(postgres_url).set(password="wrong").render_as_string(hide_password=False)
    with pytest.raises(CatalogueError, match="password") as caught:
        open_database(wrong)
    assert not caught.value.is_transient


def test_password_is_in_no_error_and_no_shown_location(postgres_url):
    broken = [
        postgres_url.rsplit("/", 1)[0] + "/nowhere",
        postgres_url.replace("postgresql://", "mysql://"),
        postgres_url.replace("@127.0.0.1:", "@127.0.0.1:x"),
        postgres_url + "?sslmode=require",
    ]
    for url in broken:
        with pytest.raises(CatalogueError) as caught:
            open_database(url, server_away_s=0)
        assert PASSWORD not in str(caught.value)
        assert "s3cret" not in str(caught.value)
    assert shown(postgres_url).startswith("postgresql://hoverfast:***@127.0.0.1")
    assert "hunter2" not in shown("postgresql://h/x?user=a&password=hunter2")


def test_odd_text_and_numbers_are_kept_alike_on_both(catalogue_location):
    """What a damaged file says of itself, a GPU's name, a score of nothing."""
    long = "NVIDIA " + "x" * 3_000
    slide = dataclasses.replace(SLIDE, vendor=long, mpp_source=long)
    odd = segmentation(
        slide=slide,
        device=long,
        precision=long,
        code_version=long,
        model_name=long,
        mask_engine=long,
        run_id=long,
        model_card={"dice": float("nan"), "loss": float("inf"), "name": "Gr\u00f6\u00dfe"},
    )
    failure = FailureRecord("/a\0b.svs", long, "header says \0\1", "", long)
    with Catalogue.open(catalogue_location) as catalogue:
        catalogue.record_done(odd)
        catalogue.record_failure(failure)
        catalogue.register_candidate(ModelRecord("e" * 64, long, long, "/m", {}), scope="s" * 400)
        (entry,) = catalogue.lineage("s1").entries
        (kept,) = catalogue.failures()

    assert entry["device"] == f"{long} (openvino {long})"
    assert entry["model"]["card"] == {"dice": None, "loss": None, "name": "Gr\u00f6\u00dfe"}
    assert (kept.path, kept.message) == ("/a\ufffdb.svs", "header says \ufffd\1")
    assert kept.kind == long


def test_times_are_utc_on_both(catalogue_location):
    with Catalogue.open(catalogue_location) as catalogue:
        catalogue.record_done(segmentation())
        (entry,) = catalogue.lineage("s1").entries

    assert entry["finished_at"].endswith("+00:00")


@pytest.mark.parametrize("direction", ["to the server", "and back"])
def test_copy_carries_every_row_and_goes_on_numbering(tmp_path, postgres_url, direction):
    upgrade_database(postgres_url)
    file = tmp_path / "c.sqlite"
    source, target = (file, postgres_url) if direction == "to the server" else (postgres_url, file)
    upgrade_database(source)
    fill(source)

    copied = copy_catalogue(source, target)

    assert copied == count_rows(source) == count_rows(target)
    assert set(copied.values()) == {3}
    with Catalogue.open(source) as old, Catalogue.open(target) as new:
        assert new.failures() == old.failures()
        assert new.lineage("1 key") == old.lineage("1 key")
        new.record_failure(FAILURE)
        assert new.failures()[0] == FAILURE
    with pytest.raises(CatalogueError, match="not empty"):
        copy_catalogue(source, target)


def test_command_line_makes_shows_and_copies(tmp_path, postgres_url):
    def hoverfast(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "hoverfast_platform.cli.main", "catalogue", *arguments],
            capture_output=True,
            text=True,
            check=False,
            env={"HOVERFAST_CATALOGUE": postgres_url, "PYTHONPATH": ":".join(sys.path)},
        )

    refused = hoverfast("info")
    made, again = hoverfast("upgrade"), hoverfast("upgrade")
    with Catalogue.open(tmp_path / "c.sqlite") as catalogue:
        catalogue.record_failure(FAILURE)
    copied, info = hoverfast("copy", str(tmp_path / "c.sqlite")), hoverfast("info")

    assert refused.returncode == 1
    assert "catalogue upgrade" in refused.stderr
    assert f"empty -> {newest_revision()}" in made.stdout
    assert "already" in again.stdout
    assert copied.stdout.startswith("1 rows"), copied.stderr
    assert "1  failures" in info.stdout
    assert all("s3cret" not in run.stdout + run.stderr for run in (refused, made, copied, info))


def test_unknown_database_names_are_not_made(postgres_server):
    with pytest.raises(CatalogueError, match="does not exist"):
        open_database(postgres_server.url(f"none_{uuid.uuid4().hex}"))
