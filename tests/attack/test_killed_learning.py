"""Labelling and training, killed before any change of files, end as if never killed."""

import functools
import subprocess
import sys

import pytest

from hoverfast_platform.storage.patch_table import PatchTable
from hoverfast_platform.synthetic import write_synthetic_slide
from hoverfast_platform.teachers.classical import ClassicalTeacher
from hoverfast_platform.teachers.labelling import Cohort, label_cohort
from hoverfast_platform.teachers.sampling import Sampling, Source
from tests.attack.effort import IS_FULL, steps
from tests.conftest import REPOSITORY
from tests.killed_at import killed_before_step
from tests.unit.training.test_training import _table


@pytest.mark.timeout(1800)
def test_teacher_labels_killed_before_any_change_are_the_same_set(tmp_path):
    sources = []
    for name in "ab":
        path = tmp_path / f"{name}.tiff"
        write_synthetic_slide(path, width_px=500, height_px=400, seed=ord(name))
        sources.append(Source(path, group=name))
    sampling = Sampling(tiles_per_slide=2, tile_px=128, validation_fraction=0.5)

    def label(out):
        label_cohort(Cohort("set", sources), ClassicalTeacher(), sampling, out)

    def made(out):
        return {path.name: PatchTable(path).digest for path in out.iterdir()}

    label(tmp_path / "whole")
    whole = made(tmp_path / "whole")
    assert len(whole) == 2

    for n in steps(sample_every=7):
        out = tmp_path / f"out{n}"
        was_killed = killed_before_step(n, functools.partial(label, out), out)
        label(out)
        assert made(out) == whole, f"killed before change {n}"
        if not was_killed:
            break
    assert n > 7


@pytest.mark.skipif(not IS_FULL, reason="thirty trainings; `make test-attack` runs it")
@pytest.mark.timeout(3600)
def test_a_training_killed_before_any_change_ends_with_the_same_student(tmp_path):
    (tmp_path / "runs").mkdir()
    _table(tmp_path / "train.pytable", 1)
    _table(tmp_path / "test.pytable", 2)

    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.attack.train_and_kill",
            tmp_path,
            tmp_path / "runs",
            "1",
        ],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout.split()[-2]) >= 2
