"""A standby takes a server's place while several write: what was acknowledged is there, once."""

import tempfile
import threading
import time
from pathlib import Path

import pytest

from hoverfast_platform.catalogue import Catalogue
from hoverfast_platform.catalogue.database import shown, upgrade_database
from hoverfast_platform.errors import CatalogueUnavailableError
from tests.attack.catalogue_writers import Writers, slide
from tests.attack.effort import IS_FULL
from tests.postgres_server import PostgresServer, find_programs

N_SLIDES, N_FAILOVERS = (300 if IS_FULL else 80), (4 if IS_FULL else 1)


def address(*servers):
    url = servers[0].url()
    hosts = "&".join(f"host=127.0.0.1:{server.port}" for server in servers)
    return f"{url.rpartition('@')[0]}@/postgres?{hosts}"


@pytest.fixture
def servers_folder():
    if find_programs() is None:
        pytest.skip("no PostgreSQL programs: apt install postgresql, or make setup")
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


@pytest.mark.parametrize("n", range(N_FAILOVERS))
def test_a_standby_promoted_during_writes_has_all_that_was_recorded_once(servers_folder, n):
    first = PostgresServer(servers_folder / "first", find_programs())
    first.create()
    upgrade_database(first.url())
    second = first.make_standby(servers_folder / "second")
    url = address(second, first)  # the standby is asked first, and must not be taken
    try:
        writers = Writers(url, N_SLIDES)
        with Catalogue.open(first.url()) as catalogue:
            while len(catalogue.slides.all()) < (n + 1) * N_SLIDES // (N_FAILOVERS + 1):
                time.sleep(0.01)
        first.kill()
        time.sleep(1)  # nobody takes writes
        second.sql("SELECT pg_promote()")

        writers.check_all_is_there_once(second.url())
    finally:
        first.stop()
        second.stop()


def test_a_server_that_becomes_a_standby_is_left_for_one_that_takes_writes(
    postgres_server, postgres_url
):
    """As behind one address that moves: the old connections still answer, and refuse writes."""
    upgrade_database(postgres_url)
    name = postgres_url.rpartition("/")[2]
    with Catalogue.open(postgres_url) as catalogue:
        catalogue.slides.register(slide(0))
        postgres_server.sql(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
        held = catalogue._database.reader.connect()
        held.exec_driver_sql("SET default_transaction_read_only = on")
        held.commit()
        held.close()  # back into the pool, where the next write takes it

        with pytest.raises(CatalogueUnavailableError, match="takes no writes"):
            catalogue.slides.register(slide(1))
        assert CatalogueUnavailableError.is_transient
        threading.Timer(
            1.5,
            postgres_server.sql,
            (f'ALTER DATABASE "{name}" SET default_transaction_read_only = off',),
        ).start()
        began_at = time.monotonic()
        catalogue.slides.register(slide(1))  # waits for a server that takes writes

        assert time.monotonic() - began_at > 1
        assert len(catalogue.slides.all()) == 2


def test_several_servers_are_shown_without_their_password():
    url = "postgresql://hoverfast:s3cret@/catalogue?host=a:5432&host=b:5433"

    assert shown(url) == "postgresql://hoverfast:***@a:5432,b:5433/catalogue"
