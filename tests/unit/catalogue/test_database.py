"""What SQLite and PostgreSQL must do alike, told by processes and outages."""

import dataclasses
import datetime
import sqlite3
import subprocess
import sys
import threading
import uuid

import pytest
from sqlalchemy import (
    event,
    text,
)

from hoverfast_platform.catalogue import Catalogue, FailureRecord, ModelRecord
from hoverfast_platform.catalogue.database import (
    database_url,
    newest_revision,
    open_database,
    shown,
    upgrade_database,
)
from hoverfast_platform.catalogue.transfer import copy_catalogue, count_rows
from hoverfast_platform.errors import (
    CatalogueError,
    CatalogueUnavailableError,
    ShareUnavailableError,
)
from tests.builders import SLIDE, segmentation
from tests.postgres_server import PASSWORD
from tests.unit.catalogue.filled_tables import fill

FAILURE = FailureRecord("/x.svs", "missing_mpp", "no mpp", "--mpp", "r")

WRITER = """
import dataclasses, sys
from hoverfast_platform.catalogue import Catalogue, FailureRecord, ModelRecord
from tests.builders import SLIDE, segmentation
from tests.unit.catalogue.filled_tables import fill

for i in range(int(sys.argv[3])):
    with Catalogue.open(sys.argv[1]) as catalogue:  # as assets do: opened for every record
        slide = dataclasses.replace(SLIDE, sha256=f"{i:010d}" + "0" * 54)
        catalogue.slides.register(slide)
        catalogue.results.record(segmentation(f"s{i}", slide=slide))
        catalogue.results.record_failure(FailureRecord(sys.argv[2], "k", "m", "r", str(i)))
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
        assert catalogue.results.failures() == ()  # a reader does not wait
        quick = threading.Thread(target=lambda: catalogue.results.record_failure(FAILURE))
        quick.start()
        quick.join(0.3)
        assert quick.is_alive()
        may_end.set()
        slow.join()
        quick.join()
        assert catalogue.results.failures() == (FAILURE,)
    database.close()


def test_lock_that_is_never_given_is_explained(tmp_path, monkeypatch):
    monkeypatch.setattr("hoverfast_platform.catalogue.database._MAX_WAIT_S", 0.2)
    with Catalogue.open(tmp_path / "c.sqlite") as catalogue:
        other = sqlite3.connect(tmp_path / "c.sqlite", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(CatalogueUnavailableError, match="network share") as caught:
            catalogue.results.record_failure(FAILURE)
        other.close()
    assert caught.value.is_transient


def test_server_that_restarts_is_waited_for(postgres_server, postgres_url):
    upgrade_database(postgres_url)
    with Catalogue.open(postgres_url) as catalogue:
        catalogue.results.record(segmentation())
        postgres_server.stop()
        restart = threading.Timer(1.0, postgres_server.start)
        restart.start()

        catalogue.results.record_failure(
            FAILURE
        )  # its connections are dead, and nobody answers yet

        restart.join()
        assert catalogue.results.failures() == (FAILURE,)
        assert catalogue.results.lineage("s1").entries


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
        catalogue.results.record_failure(FAILURE)
        with pytest.raises(CatalogueUnavailableError) as caught:
            write_and_lose_the_connection()
        assert caught.value.is_transient
        assert catalogue.results.failures() == (FAILURE,)  # on a connection of its own
    database.close()


def test_server_that_is_killed_keeps_what_was_recorded(postgres_server, postgres_url):
    upgrade_database(postgres_url)
    with Catalogue.open(postgres_url) as catalogue:
        catalogue.results.record(segmentation())
        postgres_server.kill()
        postgres_server.start()

        assert len(catalogue.results.lineage("s1").entries) == 1


def test_writer_that_goes_to_sleep_does_not_stop_the_others(postgres_url, monkeypatch):
    monkeypatch.setattr("hoverfast_platform.catalogue.database._MAX_IDLE_S", 1)
    upgrade_database(postgres_url)
    sleeper = open_database(postgres_url)
    connection = sleeper.writer.connect()
    connection.execute(text("DELETE FROM failures"))

    with Catalogue.open(postgres_url) as catalogue:
        catalogue.results.record_failure(FAILURE)  # waits until the server has ended the sleeper
        with pytest.raises(CatalogueUnavailableError):
            connection.execute(text("DELETE FROM failures"))
        assert catalogue.results.failures() == (FAILURE,)
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
        made_from={
            "code_version": long,
            "model": {"name": long},
            "mask": {"engine": long},
            "arithmetic": {"device": long, "precision": long},
        },
        run_id=long,
    )
    card = {"dice": float("nan"), "loss": float("inf"), "name": "Gr\u00f6\u00dfe"}
    odd = dataclasses.replace(odd, model=dataclasses.replace(odd.model, card=card))
    failure = FailureRecord("/a\0b.svs", long, "header says \0\1", "", long)
    with Catalogue.open(catalogue_location) as catalogue:
        catalogue.results.record(odd)
        catalogue.results.record_failure(failure)
        catalogue.models.register(ModelRecord("e" * 64, long, long, "/m", {}), scope="s" * 400)
        (entry,) = catalogue.results.lineage("s1").entries
        (kept,) = catalogue.results.failures()

    assert str(entry.provenance.arithmetic) == f"{long} (openvino {long})"
    assert entry.model_card == {"dice": None, "loss": None, "name": "Gr\u00f6\u00dfe"}
    assert (kept.path, kept.message) == ("/a\ufffdb.svs", "header says \ufffd\1")
    assert kept.kind == long


def test_times_are_utc_on_both(catalogue_location):
    with Catalogue.open(catalogue_location) as catalogue:
        catalogue.results.record(segmentation())
        (entry,) = catalogue.results.lineage("s1").entries

    assert entry.finished_at.utcoffset() == datetime.timedelta(0)


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
        assert new.results.failures() == old.results.failures()
        assert new.results.lineage("1 key") == old.results.lineage("1 key")
        new.results.record_failure(FAILURE)
        assert new.results.failures()[0] == FAILURE
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
        catalogue.results.record_failure(FAILURE)
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


def test_a_file_on_a_share_that_fails_is_told_as_that_and_not_as_damaged(tmp_path):
    path = tmp_path / "catalogue.sqlite"
    with Catalogue.open(path) as catalogue:

        def fails(*_arguments):
            raise sqlite3.OperationalError("disk I/O error")

        event.listen(catalogue._database.reader, "do_execute", fails)

        with pytest.raises(ShareUnavailableError, match=r"catalogue's file .*: disk I/O error\."):
            catalogue.slides.all()
        with pytest.raises(ShareUnavailableError):
            catalogue.slides.register(SLIDE)
