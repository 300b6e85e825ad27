"""No password and no control character leaves in a text, whichever way it takes."""

import logging

import pytest

from hoverfast_platform.catalogue.database import database_url
from hoverfast_platform.cli import main
from hoverfast_platform.errors import CatalogueError, StorageError
from hoverfast_platform.texts import clean
from hoverfast_platform.use_cases.outcome import Outcome, each
from hoverfast_platform.use_cases.record import failure_record

HOSTILE = {
    "a\x1b]0;owned\x07.svs": r"a\x1b]0;owned\x07.svs",  # sets the terminal's title
    "a\x1b[2J.svs": r"a\x1b[2J.svs",  # wipes the screen
    "a\rb.svs": r"a\x0db.svs",
    "a\x9b31m.svs": r"a\x9b31m.svs",
    "a\u202egnp.svs": r"a\u202egnp.svs",  # reads as a.svs.png from the right
    b"a\xff.svs".decode("utf-8", "surrogateescape"): r"a\xff.svs",
    "postgresql://u:s3cr@et@host/db": "postgresql://u:***@host/db",
    "postgresql+psycopg2://u:s3cret@host/db gone": "postgresql+psycopg2://u:***@host/db gone",
    "ñ 組織 #1.svs": "ñ 組織 #1.svs",
}


@pytest.mark.parametrize(("hostile", "shown"), HOSTILE.items())
def test_every_way_out_of_the_process_gives_the_clean_text(hostile, shown, tmp_path):
    error, defect = StorageError(hostile, hostile), RuntimeError(hostile)
    log = logging.LogRecord("n", logging.ERROR, "", 1, "%s", (hostile,), None)

    assert clean(hostile) == shown
    assert (error.message, error.remedy, str(error)) == (shown, shown, f"{shown} {shown}")
    assert Outcome(1, error=error).failure_text == f"{shown} {shown}"
    assert Outcome(1, error=defect).failure_text == f"RuntimeError: {shown}"
    assert failure_record(tmp_path, error).message == shown
    assert failure_record(tmp_path, defect).message == f"RuntimeError: {shown}"
    assert main._CleanFormatter("%(message)s").format(log) == shown


@pytest.mark.parametrize("password", ["s3cr@et", "@s3cret", "12/s3cr@et", "s3:cr@e/t"])
def test_a_password_that_is_not_written_as_it_must_be_is_not_shown(password):
    with pytest.raises(CatalogueError, match="cannot be parsed") as caught:
        database_url(f"postgresql://user:{password}@host/name")

    shown = f"{caught.value} {caught.value.__cause__}"
    assert "s3" not in shown
    assert "et@" not in shown


def test_a_failure_that_cannot_be_recorded_stops_nobody(caplog):
    def make(item):
        raise StorageError(f"{item} cannot be read.")

    def full_disk(item, error):
        raise OSError("No space left on device")

    outcomes = list(each(["a", "b"], make, record_failure=full_disk))

    assert [str(outcome.error) for outcome in outcomes] == [
        "a cannot be read.",
        "b cannot be read.",
    ]
    assert "The failure of a (a cannot be read.) could not be recorded: No space" in caplog.text
