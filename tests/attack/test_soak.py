"""A week in miniature: one slide in twenty is faulty, the process is killed; nothing is lost."""

import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from sqlalchemy import create_engine, text

from hoverfast_platform.catalogue.database import database_url
from hoverfast_platform.storage.publish import SCRATCH, SUMMARY, changed_files
from hoverfast_platform.storage.summary import SegmentationSummary
from tests.attack.effort import IS_FULL
from tests.builders import write_slide
from tests.conftest import REPOSITORY

N_SLIDES = int(os.environ.get("HOVERFAST_SOAK", "2000" if IS_FULL else "20"))
N_KILLS = max(2, N_SLIDES // 100)
_ENOUGH, _MOST_FOR_MEMORY = 400, 1000
FAULTS = ("empty", "cut", "no scale", "text")


def write_faulty(path, kind):
    if kind == "no scale":
        write_slide(path, np.full((130, 170, 3), 200, np.uint8), mpp=None)
        return
    whole = write_slide(path, np.full((600, 400, 3), 200, np.uint8)).read_bytes()
    content = {"empty": b"", "cut": whole[: len(whole) // 3], "text": b"<!doctype html>"}
    path.write_bytes(content[kind])


def write_slides(folder, n_slides=N_SLIDES):
    """Names of the good ones, and of the faulty."""
    good, faulty = set(), set()
    rng = np.random.default_rng(0)
    for i in range(n_slides):
        path = folder / f"s{i:05}.tiff"
        if i % 20 == 7:
            path.parent.mkdir(exist_ok=True)
            write_faulty(path, FAULTS[i // 20 % len(FAULTS)])
            faulty.add(path.name)
        else:
            rgb = rng.integers(120, 220, (96, 136, 3), dtype=np.uint8)
            write_slide(path, np.kron(rgb, np.ones((2, 2, 1), np.uint8)), tile_px=128)
            good.add(path.stem)
    return good, faulty


def run(slides, out, *, first=0, kill_after=-1):
    """Run from a slide on until it ends, or is killed after so many slides; its lines."""
    command = [sys.executable, "-m", "tests.attack.soak", str(slides), str(out), str(first)]
    lines = []
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        for line in process.stdout:
            lines.append(line.split())
            if len(lines) == kill_after:
                time.sleep(random.Random(kill_after).uniform(0, 0.3))
                os.killpg(process.pid, signal.SIGKILL)  # workers and all
    return lines


def test_nothing_is_lost_or_double_whatever_is_killed(tmp_path):
    slides, out = tmp_path / "in", tmp_path / "out"
    out.mkdir()
    good, faulty = write_slides(slides)

    # Each run finds the slides of the one before again, and the last one finds all.
    ends = [i * N_SLIDES // (N_KILLS + 1) for i in range(N_KILLS + 1)]
    for before, end in zip([0, *ends], ends[1:], strict=False):
        run(slides, out, first=before, kill_after=end - before)
    lines = run(slides, out)

    assert {name for name, kind, _ in lines if kind != "done"} == faulty
    assert "defect" not in {kind for _, kind, _ in lines}
    assert {path.name.removesuffix(SUMMARY) for path in out.glob(f"*{SUMMARY}")} == good
    for path in out.glob(f"*{SUMMARY}"):
        assert changed_files(out, SegmentationSummary.read(path)) == ()
    assert [path.name for path in (out / SCRATCH).iterdir()] == ["locks"]
    engine = create_engine(database_url(out / "catalogue.sqlite"))
    with engine.connect() as connection:
        (n_rows, n_different) = connection.execute(
            text("SELECT count(*), count(DISTINCT segmentation_id) FROM segmentations")
        ).one()
    engine.dispose()
    assert n_rows == n_different == len(good)


@pytest.mark.skipif(N_SLIDES < _ENOUGH, reason="a few slides do not show how memory grows")
def test_memory_does_not_grow_with_the_number_of_slides(tmp_path):
    """All segmented in one process that nobody kills: slides found again need far less."""
    slides, out = tmp_path / "in", tmp_path / "out"
    out.mkdir()
    write_slides(slides, min(N_SLIDES, _MOST_FOR_MEMORY))

    mib = [int(peak) for _, kind, peak in run(slides, out) if kind == "done"]

    assert mib[-1] <= 1.1 * mib[len(mib) // 4]
