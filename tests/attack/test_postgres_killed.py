"""The server is killed while several write: what was acknowledged is there, and nothing twice."""

import dataclasses
import threading
import time

from hoverfast_platform.catalogue import Catalogue
from hoverfast_platform.catalogue.database import upgrade_database
from hoverfast_platform.use_cases.outcome import Retries, each
from tests.attack.effort import IS_FULL
from tests.builders import SLIDE, segmentation

N_WRITERS, N_SLIDES, N_KILLS = 3, (200 if IS_FULL else 40), (8 if IS_FULL else 2)


def test_a_server_killed_during_writes_loses_and_doubles_nothing(postgres_server, postgres_url):
    upgrade_database(postgres_url)
    outcomes = []

    def write(writer):
        """As a run does: tried again where a failure may pass."""
        with Catalogue.open(postgres_url) as catalogue:

            def record(i):
                slide = dataclasses.replace(SLIDE, sha256=f"{i:010d}" + "0" * 54)
                catalogue.slides.register(slide)
                catalogue.results.record(segmentation(f"{writer}-{i}", slide=slide))

            outcomes.extend(
                each(
                    range(N_SLIDES),
                    record,
                    record_failure=lambda *_: None,
                    retries=Retries(n_attempts=6, pause_s=0.2),
                )
            )

    writers = [threading.Thread(target=write, args=(name,)) for name in "abc"[:N_WRITERS]]
    for writer in writers:
        writer.start()
    for _ in range(N_KILLS):
        time.sleep(0.7)
        postgres_server.kill()
        postgres_server.start()
    for writer in writers:
        writer.join(240)

    assert [str(outcome.error) for outcome in outcomes if outcome.error] == []
    assert len(outcomes) == N_WRITERS * N_SLIDES
    with Catalogue.open(postgres_url) as catalogue:
        slides = catalogue.slides.all()
        assert len(slides) == len({slide.sha256 for slide in slides}) == N_SLIDES
        found = [e for i in range(N_SLIDES) for e in catalogue.results.lineage(f"a-{i}").entries]
        assert len(found) == N_SLIDES
