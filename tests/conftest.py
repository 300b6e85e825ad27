"""Fixtures shared by all tests, each a few lines."""

from __future__ import annotations

import os
import signal
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from hoverfast_platform.catalogue.database import upgrade_database
from tests.postgres_server import PostgresServer, find_programs
from tests.s3_server import S3Server, start_s3

REPOSITORY = Path(__file__).resolve().parents[1]


def pytest_configure() -> None:
    """Take signals as a terminal would send them: what runs in a shell's background ignores them.

    Tests send them to themselves and to the commands they start, which inherit this.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--screenshots", help="folder in which tests with a browser keep pictures")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real slides and tiles; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("HOVERFAST_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real slides not present: {folder} (set HOVERFAST_TEST_DATA)")
    return folder


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A real server, started by the first test that needs one.

    Not in pytest's folders: every further pytest on the machine makes these private again, and
    a server that runs as another user then dies.
    """
    programs = find_programs()
    if programs is None:
        pytest.skip("no PostgreSQL programs: apt install postgresql, or make setup")
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        server = PostgresServer(Path(folder) / "server", programs)
        server.create()
        yield server
        server.stop()


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> str:
    """A database of one test."""
    return postgres_server.make_database(f"test_{uuid.uuid4().hex}")


@pytest.fixture(scope="session")
def postgres_template(postgres_server: PostgresServer) -> str:
    """Name of a database with an empty catalogue, to copy."""
    upgrade_database(postgres_server.make_database("template_catalogue"))
    return "template_catalogue"


@pytest.fixture(params=["sqlite", "postgresql"])
def catalogue_location(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """An empty catalogue on each database the platform runs on."""
    if request.param == "sqlite":
        return tmp_path / "catalogue.sqlite"
    template = request.getfixturevalue("postgres_template")
    server = request.getfixturevalue("postgres_server")
    return str(server.make_database(f"test_{uuid.uuid4().hex}", template=template))


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """A real S3 server, started by the first test that needs one."""
    server = start_s3()
    yield server
    server.stop()


@pytest.fixture
def s3_url(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket of one test, and the environment that reaches it."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return f"{s3_server.make_bucket(f'test-{uuid.uuid4().hex}')}/lab"
