"""On a network share that fails, no file is called damaged and none is written by halves."""

import functools
import importlib
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

from hoverfast_platform.access_errors import access_refused
from hoverfast_platform.catalogue import Catalogue
from hoverfast_platform.catalogue.database import upgrade_database
from hoverfast_platform.errors import HoverFastError, StorageError
from hoverfast_platform.file_system_errors import file_system_failed
from hoverfast_platform.ingest.register import register_ready
from hoverfast_platform.ingest.watch import look
from hoverfast_platform.model.checkpoint import load_model
from hoverfast_platform.model.registry import DEFAULT_MODEL, find_model
from hoverfast_platform.storage.flat_images import read_rgb
from hoverfast_platform.storage.patch_table import PatchTable
from hoverfast_platform.storage.publish import SCRATCH, publish
from hoverfast_platform.use_cases.convert import convert
from hoverfast_platform.viewer.access import Access
from hoverfast_platform.viewer.app import viewer_app
from hoverfast_platform.viewer.library import open_library
from tests.attack.effort import IS_FULL, steps
from tests.attack.shares import KINDS, ON_A_SHARE, WHY_NOT, share, write_tiny_slide
from tests.attack.test_kill_matrix import label
from tests.builders import write_slide
from tests.conftest import REPOSITORY
from tests.unit.reports.test_run_report import summary_of
from tests.unit.storage.test_publish import N, staged
from tests.unit.viewer.test_app import Browser, key_of

if not WHY_NOT:
    from tests.attack.network_share import Fault

__all__ = ["share"]  # a fixture
pytestmark = ON_A_SHARE


@pytest.mark.parametrize("kind", KINDS)
def test_a_share_that_fails_while_slides_are_taken_in_puts_none_into_quarantine(
    share, tmp_path, kind
):
    """Quarantine is left only when a file changes: a good slide would be lost in it."""
    for i in range(2):
        write_tiny_slide(share.root / "in" / f"{i}.tiff", seed=i)
    write_slide(share.root / "in" / "no scale.tiff", np.full((90, 70, 3), 200, np.uint8), mpp=None)

    empty = tmp_path / "empty.sqlite"
    upgrade_database(empty)
    for n in steps(sample_every=29):
        path = shutil.copy(empty, tmp_path / f"{n}.sqlite")
        with Catalogue.open(path) as catalogue:
            share.fail(Fault(kind, n))
            take_in(catalogue.files, share.path)
            has_struck = share.heal()["struck"]
            kinds = {found.kind for found in catalogue.files.quarantined()}
            assert kinds <= {"missing_mpp"}, f"at {n}"
            take_in(catalogue.files, share.path)
            assert len(catalogue.slides.all()) == 2, f"at {n}"
            assert [found.kind for found in catalogue.files.quarantined()] == ["missing_mpp"]
        if not has_struck:
            break


def take_in(watched, folder):
    for _ in range(2):
        look(watched, [folder / "in"], settle_s=0)
    for _ in register_ready(watched):
        pass


def test_the_viewer_says_that_a_share_is_away_and_shows_the_result_once_it_is_back(share, tmp_path):
    put_result(share.root / "out")
    access = Access("secret")
    app = viewer_app(lambda: open_library(share.path / "out"), access, tmp_path / "corrections")
    browser = Browser(app, {access.cookie: "secret"})
    address = f"/api/slides/{key_of(browser)}.json"
    whole = browser.get(address).json()["result"]
    assert whole is not None

    for n in steps(sample_every=17):
        share.fail(Fault("away", n, "ETIMEDOUT"))
        answer = browser.get(address)
        has_struck = share.heal()["struck"]
        assert answer.status_code in (200, 404, 503), f"{answer.text} at {n}"
        assert browser.get(address).json()["result"] == whole, f"at {n}"
        if not has_struck:
            break


def in_a_process(task):
    """What a task said, in a process of its own: a mapped file that cannot be read ends that."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            said = f"done {task()}"
        except Exception as error:
            named = file_system_failed(error) or access_refused(error) or error
            kind = named.kind if isinstance(named, HoverFastError) else "defect"
            said = f"{kind}: {named}"
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as file:
        said = file.read()
    _, status = os.waitpid(child, 0)
    assert not os.WIFSIGNALED(status), signal.Signals(os.WTERMSIG(status)).name
    return said


def put_model(folder):
    weights = find_model(DEFAULT_MODEL)
    importlib.import_module("openvino")  # once, and not in every process
    for path in weights.parent.glob(f"{weights.stem}.*"):
        shutil.copy(path, folder / path.name)
    return weights.name


def put_set(folder):
    label(folder / "x.pytable")
    return "x.pytable"


def put_image(folder):
    import cv2

    rgb = np.random.default_rng(0).integers(0, 255, (300, 200, 3), dtype=np.uint8)
    cv2.imwrite(str(folder / "a.png"), rgb)
    return "a.png"


def read_graph(path):
    from hoverfast_platform.inference.backends.openvino_predictor import stored_graph

    return len(stored_graph(path.with_suffix(".int8.xml")).get_ops())


READERS = [
    pytest.param(put_model, lambda path: load_model(path).digest, 29, id="weights"),
    pytest.param(put_model, read_graph, 29, id="int8 graph"),
    pytest.param(put_set, lambda path: PatchTable(path).read(1).image.sum(), 4, id="training set"),
    pytest.param(put_image, lambda path: read_rgb(path).sum(), 4, id="image"),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("put", "read", "sample_every"), READERS)
def test_a_file_that_a_share_does_not_give_is_not_called_damaged(
    share, put, read, sample_every, kind
):
    path = share.path / put(share.root)
    expected = in_a_process(lambda: read(path))

    for n in steps(sample_every):
        share.fail(Fault(kind, n))
        said = in_a_process(lambda: read(path))
        has_struck = share.heal()["struck"]
        assert said == expected or said.startswith("share_unavailable: "), f"{said} at {n}"
        assert "\n" not in said
        assert in_a_process(lambda: read(path)) == expected
        if not has_struck:
            break


def told_while(task):
    """The error that a task ended with, as people are told it."""
    try:
        task()
    except Exception as error:
        return file_system_failed(error) or error
    return None


def put_result(folder):
    (folder / SCRATCH).mkdir(parents=True)
    publish(staged(folder), folder, "a", summary_of(N))


def write_set(path):
    label(path)
    return PatchTable(path).digest


def write_converted(path):
    convert(path.parent / "results" / "a.parquet", path)
    return path.read_bytes()


WRITING = [("late", "EDQUOT", 5), ("retried", "", 1), ("once", "EIO", 9), ("away", "ETIMEDOUT", 9)]


@pytest.mark.parametrize(("kind", "error", "sample_every"), WRITING if IS_FULL else WRITING[:1])
@pytest.mark.parametrize("ending", [".pytable", ".csv"] + [".json.gz"] * IS_FULL)
def test_what_is_written_to_a_share_has_its_name_whole_or_not_at_all(
    share, kind, error, sample_every, ending
):
    write = write_set if ending == ".pytable" else write_converted
    put_result(share.root / "results")
    expected = write(share.root / f"whole{ending}")

    for n in steps(sample_every):
        name = f"out{n}{ending}"
        share.fail(Fault(kind, n, error))
        told = told_while(functools.partial(write, share.path / name))
        if told is None:
            assert (share.root / name).exists(), f"done without a file at {n}"
        else:
            assert isinstance(told, StorageError), f"{told!r} at {n}"
            assert "\n" not in str(told)
        has_struck = share.heal()["struck"]
        if (share.root / name).exists():
            is_whole = (
                PatchTable(share.root / name).digest == expected
                if write is write_set
                else (share.root / name).read_bytes() == expected
            )
            assert is_whole, f"at {n}"
        assert write(share.path / name) == expected, f"at {n}"
        assert [path.name for path in share.root.glob(f"*{name}*")] == [name]
        if not has_struck:
            break


def test_the_command_line_tells_a_fault_of_a_share_in_one_line_and_fails(share, tmp_path):
    slide = write_tiny_slide(share.root / "s.tiff")
    command = [sys.executable, "-m", "hoverfast_platform.cli.main", "slide", "info"]
    share.fail(Fault("away", 1, "ESTALE"))

    done = subprocess.run(
        [*command, str(share.path / slide.name)],
        cwd=REPOSITORY, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    assert "Stale file handle" in done.stderr
    assert "network share" in done.stderr
