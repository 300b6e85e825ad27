"""The server is killed while several write: what was acknowledged is there, and nothing twice."""

import time

from hoverfast_platform.catalogue.database import upgrade_database
from tests.attack.catalogue_writers import Writers
from tests.attack.effort import IS_FULL

N_SLIDES, N_KILLS = (200 if IS_FULL else 40), (8 if IS_FULL else 2)


def test_a_server_killed_during_writes_loses_and_doubles_nothing(postgres_server, postgres_url):
    upgrade_database(postgres_url)
    writers = Writers(postgres_url, N_SLIDES)
    for _ in range(N_KILLS):
        time.sleep(0.7)
        postgres_server.kill()
        postgres_server.start()

    writers.check_all_is_there_once(postgres_url)
