"""Threads that write slides and results into one catalogue, as runs do while its server fails."""

import dataclasses
import threading

from hoverfast_platform.catalogue import Catalogue
from hoverfast_platform.use_cases.outcome import Retries, each
from tests.builders import SLIDE, segmentation

WRITERS = "abc"


def slide(i):
    return dataclasses.replace(SLIDE, sha256=f"{i:010d}" + "0" * 54)


class Writers:
    """Three, each of which records a result of every slide; what came of it is in ``outcomes``."""

    def __init__(self, url, n_slides):
        self.outcomes = []
        self.n_slides = n_slides
        self._are_open = threading.Barrier(len(WRITERS) + 1)
        self._threads = [threading.Thread(target=self._write, args=(url, name)) for name in WRITERS]
        for thread in self._threads:
            thread.start()
        self._are_open.wait(60)  # opening itself is not tried again by a run

    def _write(self, url, writer):
        """As a run does: tried again where a failure may pass."""
        with Catalogue.open(url) as catalogue:
            self._are_open.wait(60)

            def record(i):
                catalogue.slides.register(slide(i))
                catalogue.results.record(segmentation(f"{writer}-{i}", slide=slide(i)))

            self.outcomes.extend(
                each(
                    range(self.n_slides),
                    record,
                    record_failure=lambda *_: None,
                    retries=Retries(n_attempts=6, pause_s=0.2),
                )
            )

    def check_all_is_there_once(self, url):
        for thread in self._threads:
            thread.join(240)
        assert [str(outcome.error) for outcome in self.outcomes if outcome.error] == []
        assert len(self.outcomes) == len(WRITERS) * self.n_slides
        with Catalogue.open(url) as catalogue:
            slides = catalogue.slides.all()
            assert len(slides) == len({found.sha256 for found in slides}) == self.n_slides
            for name in WRITERS:
                for i in range(self.n_slides):
                    assert len(catalogue.results.lineage(f"{name}-{i}").entries) == 1
