"""A slide that changed while it was read is told from one that did not."""

import os
import shutil

import pytest

from hoverfast_platform.errors import ChangedSlideError, UnreadableSlideError
from hoverfast_platform.slide import unchanged
from hoverfast_platform.slide.digest import slide_digest
from hoverfast_platform.slide.unchanged import SlideState, check_same_bytes


@pytest.fixture(params=["a.svs", "a.mrxs"])
def slide(tmp_path, request):
    """A file that can be changed: the only one, or one in the folder beside the index."""
    path = tmp_path / request.param
    path.write_bytes(b"index or pixels")
    if path.suffix == ".svs":
        return path, path
    (tmp_path / "a").mkdir()
    (tmp_path / "a/Data0001.dat").write_bytes(b"pixels")
    return path, tmp_path / "a/Data0001.dat"


def overwrite(path):
    """In place, of equal length, with its old times set back."""
    before = path.stat()
    with path.open("r+b") as file:
        file.write(b"PIX")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace(path):
    """By a copy of equal bytes: what was read before may have been half of another."""
    shutil.copy(path, path.with_name("copy"))
    path.with_name("copy").replace(path)


def lengthen(path):
    with path.open("ab") as file:
        file.write(b"more")


def test_nothing_changed_and_nothing_is_read_again(slide, monkeypatch):
    path, _ = slide
    before, digest = SlideState.of(path), slide_digest(path)
    monkeypatch.setattr(unchanged, "_times_are_trusted", lambda path: True)
    monkeypatch.setattr(unchanged, "slide_digest", None)

    check_same_bytes(path, before, digest)


@pytest.mark.parametrize("change", [overwrite, replace, lengthen])
def test_a_changed_slide_is_refused(slide, change):
    path, part = slide
    before, digest = SlideState.of(path), slide_digest(path)
    change(part)

    with pytest.raises(ChangedSlideError, match="changed while it was segmented"):
        check_same_bytes(path, before, digest)


def test_new_times_of_equal_bytes_are_no_change(slide):
    path, part = slide
    before, digest = SlideState.of(path), slide_digest(path)
    os.utime(part)

    check_same_bytes(path, before, digest)


def test_on_a_share_the_bytes_are_compared_whatever_its_times_say(slide, tmp_path, monkeypatch):
    path, part = slide
    before, digest = SlideState.of(path), slide_digest(path)
    overwrite(part)
    mounts, device = tmp_path / "mountinfo", path.stat().st_dev
    place = f"{os.major(device)}:{os.minor(device)}"
    mounts.write_text(f"36 25 {place} / /slides rw - nfs4 server:/slides rw\n")
    monkeypatch.setattr(unchanged, "_MOUNTS", mounts)
    monkeypatch.setattr(unchanged.SlideState, "of", lambda path: before)

    with pytest.raises(ChangedSlideError):
        check_same_bytes(path, before, digest)


def test_a_slide_that_went_missing_is_unreadable(slide):
    path, part = slide
    before = SlideState.of(path)
    part.unlink()

    with pytest.raises((UnreadableSlideError, ChangedSlideError)):
        check_same_bytes(path, before, "")
