"""A network share fails at any step, for a moment or for good: no result is lost, double or wrong.

The kernel's own client is not needed: a file system in user space fails as a soft mount does.
"""

import os
import shutil

import pytest
from sqlalchemy import create_engine, text

from hoverfast_platform.catalogue.database import database_url
from hoverfast_platform.machine.folders import output_folder
from hoverfast_platform.storage.publish import SUMMARY, changed_files
from hoverfast_platform.storage.summary import SegmentationSummary
from tests.attack.effort import IS_FULL, steps
from tests.attack.shares import (
    KINDS,
    ON_A_SHARE,
    WHY_NOT,
    engine,
    segment,
    share,
    write_tiny_slide,
)
from tests.scaling.fake_predictor import FakePredictor

if not WHY_NOT:
    from tests.attack.network_share import Fault, mounted_share

__all__ = ["engine", "share"]  # fixtures
pytestmark = ON_A_SHARE


def files(folder):
    """What is in a folder of results, but for the summary, which says how long it took."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith((".lock", SUMMARY))
    }


def n_results(catalogue):
    engine = create_engine(database_url(catalogue))
    try:
        with engine.connect() as connection:
            return connection.execute(text("SELECT count(*) FROM segmentations")).scalar_one()
    finally:
        engine.dispose()


FAULTS = [
    pytest.param("once", "EIO", 311, id="a step fails once"),
    pytest.param("retried", "EIO", 17, id="a step is done and said to have failed"),
    pytest.param("late", "EDQUOT", 83, id="lost bytes are told when a file is closed"),
    pytest.param("away", "ETIMEDOUT", 1, id="the server goes away"),
    pytest.param("stale", "ESTALE", 1, id="open handles are forgotten"),
]
"""Kinds of fault, and how many steps apart a sample tries them; it takes the first two."""


@pytest.mark.parametrize(("kind", "error", "sample_every"), FAULTS if IS_FULL else FAULTS[:2])
def test_segmenting_on_a_share_ends_the_same_after_any_fault(
    share, engine, tmp_path, kind, error, sample_every
):
    """Slide and results lie on the share; when it is well again the same command is run again."""
    slide = share.path / "in" / "s.tiff"
    write_tiny_slide(share.root / "in" / "s.tiff")
    assert segment(slide, share.path / "whole", engine, tmp_path / "w.sqlite").error is None
    whole = files(share.root / "whole")

    for n in steps(sample_every):
        out, catalogue = f"out{n}", tmp_path / f"{n}.sqlite"
        share.fail(Fault(kind, n, error))
        first = segment(slide, share.path / out, engine, catalogue)
        has_struck = share.heal()["struck"]

        assert first.kind != "defect", f"{first.failure_text} at {n}"
        assert "\n" not in first.failure_text
        if first.error is None:
            assert files(share.root / out).items() >= whole.items(), f"done without a result at {n}"
        again = segment(slide, share.path / out, engine, catalogue)
        assert again.error is None, f"{again.failure_text} at {n}"
        assert files(share.root / out) == whole, f"at {n}"
        (summary,) = (share.root / out).glob(f"*{SUMMARY}")
        assert changed_files(summary.parent, SegmentationSummary.read(summary)) == ()
        assert n_results(catalogue) == 1
        shutil.rmtree(share.root / out)
        if not has_struck:
            break
    assert n > sample_every


@pytest.mark.parametrize("kind", KINDS)
def test_a_result_that_is_there_keeps_its_names_while_the_share_fails(
    share, engine, tmp_path, kind
):
    slide, out, catalogue = share.path / "in" / "s.tiff", share.path / "out", tmp_path / "c.sqlite"
    write_tiny_slide(share.root / "in" / "s.tiff")
    segment(slide, out, engine, catalogue)
    whole = files(share.root / "out")

    for n in steps(sample_every=151):
        share.fail(Fault(kind, n))
        outcome = segment(slide, out, engine, catalogue)
        has_struck = share.heal()["struck"]

        assert outcome.kind in ("", "share_unavailable"), f"{outcome.failure_text} at {n}"
        assert segment(slide, out, engine, catalogue).product.was_done
        assert files(share.root / "out") == whole, f"at {n}"
        if not has_struck:
            break


def test_a_slide_replaced_on_the_server_is_not_published_under_its_old_digest(
    tmp_path, engine, monkeypatch
):
    """The client shows old sizes and times for seconds, so the bytes are read again."""
    with mounted_share(tmp_path / "server", tmp_path / "share", "old-attributes") as share:
        slide = share.path / "s.tiff"
        write_tiny_slide(share.root / "s.tiff")
        plain = FakePredictor.predict

        def replace_and_predict(self, regions):
            write_tiny_slide(share.root / "s.tiff", seed=1)
            return plain(self, regions)

        monkeypatch.setattr(FakePredictor, "predict", replace_and_predict)
        outcome = segment(slide, tmp_path / "out", engine, tmp_path / "c.sqlite")

    assert outcome.kind in ("changed_slide", "unreadable_slide", "share_unavailable")
    assert not list((tmp_path / "out").glob("*.json*"))


def test_a_share_that_does_not_lock_is_named_and_nobody_waits(tmp_path, engine):
    with mounted_share(tmp_path / "server", tmp_path / "share", "no-locks") as share:
        slide = write_tiny_slide(tmp_path / "s.tiff")
        (share.root / "out").mkdir()

        outcome = segment(slide, share.path / "out", engine, tmp_path / "c.sqlite")
        remark = output_folder(share.path / "out")

    assert outcome.kind == "storage"
    assert "does not lock files" in outcome.failure_text
    assert "NFS version 4" in outcome.failure_text
    assert remark.state == "wrong"
    assert "does not lock files" in remark.text


def test_an_attacker_strikes(share):
    """Guards the tests above: a share that never fails proves nothing."""
    (share.path / "x").write_text("x")
    share.fail(Fault("once", 1, only=("open",)))
    with pytest.raises(OSError, match="Input/output error"):
        (share.path / "x").read_text()
    assert (share.path / "x").read_text() == "x"
    assert share.heal()["struck"]
    share.fail(Fault("late", 1, "EDQUOT"))
    with pytest.raises(OSError, match="quota"):
        (share.path / "x").write_text("longer")
    share.fail(Fault("retried", 1))
    with pytest.raises(FileNotFoundError):
        (share.path / "x").rename(share.path / "y")
    assert (share.root / "y").exists()


def test_an_attacker_has_open_files_stay_and_forgets_them(share):
    (share.path / "x").write_text("x")
    descriptor = os.open(share.path / "x", os.O_RDONLY)
    (share.path / "x").unlink()
    assert [path.name[:4] for path in share.root.iterdir()] == [".nfs"]
    share.fail(Fault("stale", 1, only=("read",)))
    with pytest.raises(OSError, match="Stale file handle"):
        os.read(descriptor, 1)
    with pytest.raises(OSError, match="Stale file handle"):
        os.close(descriptor)
