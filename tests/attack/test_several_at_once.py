"""Two of what should be one, and clocks that jump."""

import datetime
import multiprocessing
import os
import time

import numpy as np

from hoverfast_platform.catalogue import Catalogue
from hoverfast_platform.ingest.register import register_ready
from hoverfast_platform.ingest.watch import look
from hoverfast_platform.resources.heartbeat import Heartbeat, silent_runs
from tests.attack.effort import IS_FULL
from tests.builders import write_slide

N_SLIDES = 200 if IS_FULL else 12


def take_in(folder, location, n_looks):
    """What the sensor and the intake of one daemon do."""
    with Catalogue.open(location) as catalogue:
        for _ in range(n_looks):
            look(catalogue.files, [folder], settle_s=0)
            for _batch in register_ready(catalogue.files, batch_size=5):
                pass


def test_two_daemons_by_mistake_register_every_slide_once(tmp_path):
    location = tmp_path / "catalogue.sqlite"
    Catalogue.open(location).close()
    for i in range(N_SLIDES):
        write_slide(tmp_path / "in" / f"s{i}.tiff", np.full((40 + i, 60, 3), i, np.uint8))
    context = multiprocessing.get_context("spawn")
    daemons = [
        context.Process(target=take_in, args=(tmp_path / "in", location, 4)) for _ in range(2)
    ]
    for daemon in daemons:
        daemon.start()
    for daemon in daemons:
        daemon.join(120)

    assert [daemon.exitcode for daemon in daemons] == [0, 0]
    with Catalogue.open(location) as catalogue:
        assert catalogue.files.counts()["registered"] == N_SLIDES
        assert len(catalogue.slides.all()) == N_SLIDES
        assert len(set(catalogue.files.slide_keys())) == N_SLIDES
        assert not catalogue.files.quarantined()


def test_a_clock_that_jumps_takes_no_half_copied_slide_and_loses_none(tmp_path):
    path = write_slide(tmp_path / "in" / "s.tiff", np.full((40, 60, 3), 9, np.uint8))
    now = datetime.datetime(2026, 6, 1, 12, tzinfo=datetime.UTC)
    with Catalogue.open(tmp_path / "catalogue.sqlite") as catalogue:

        def look_at(moment):
            look(catalogue.files, [path.parent], settle_s=30, now=moment)
            return catalogue.files.counts()["ready"]

        assert look_at(now) == 0
        assert look_at(now - datetime.timedelta(days=1)) == 0  # set back: it settles anew
        assert look_at(now - datetime.timedelta(days=1, seconds=-20)) == 0
        path.write_bytes(path.read_bytes() + b"more")
        assert look_at(now + datetime.timedelta(days=365)) == 0  # it changed meanwhile
        assert look_at(now + datetime.timedelta(days=365, seconds=31)) == 1


def test_a_clock_set_forward_gives_up_no_run_that_lives(tmp_path):
    alive = Heartbeat(str(tmp_path), "alive", every_s=0.05)
    hour_ago = time.time() - 3600
    dead = tmp_path / "heartbeats" / "dead"
    dead.touch()
    os.utime(dead, (hour_ago, hour_ago))
    try:
        os.utime(tmp_path / "heartbeats" / "alive", (hour_ago, hour_ago))
        silent = silent_runs(str(tmp_path), {"alive": hour_ago, "dead": hour_ago}, lost_after_s=0.5)
    finally:
        alive.stop()

    assert set(silent) == {"dead"}
