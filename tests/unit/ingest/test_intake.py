"""Files on their way from a watched folder into the catalogue, told as people would meet it."""

import dataclasses
import datetime
import os
import shutil
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from hoverfast_platform.catalogue import Catalogue, FailureRecord
from hoverfast_platform.errors import AbsentSlideError, CatalogueError, IncompleteSlideError
from hoverfast_platform.ingest.register import register_ready
from hoverfast_platform.ingest.units import list_slides
from hoverfast_platform.ingest.watch import look
from hoverfast_platform.slide.completeness import check_complete
from tests.builders import write_slide

START = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def write_noise(path: Path, seed: int = 0, *, mpp: float | None = 0.25) -> Path:
    """A tiny tiled TIFF that OpenSlide opens."""
    pixels = np.random.default_rng(seed).integers(0, 255, (64, 72, 3), dtype=np.uint8)
    return write_slide(path, pixels, mpp=mpp, tile_px=32)


class Intake:
    """A watched folder, its catalogue and a clock."""

    def __init__(self, folder: Path, catalogue: Path | str) -> None:
        self.root = folder / "slides"
        self.root.mkdir()
        self.catalogue = Catalogue.open(catalogue)
        self.files = self.catalogue.files
        self.now = START

    def look(self, after_s: float = 60, roots: list[Path] | None = None) -> tuple[str, ...]:
        self.now += datetime.timedelta(seconds=after_s)
        return look(self.files, roots or [self.root], settle_s=30, now=self.now)

    def settle(self) -> list[str]:
        """Two looks and a registration; the keys of the slides found."""
        self.look()
        self.look()
        return self.register()

    def register(self) -> list[str]:
        return [key for batch in register_ready(self.files) for key in batch.slide_keys]

    def state(self) -> Counter[str]:
        return self.files.counts()


@pytest.fixture
def intake(tmp_path, catalogue_location):
    intake = Intake(tmp_path, catalogue_location)
    yield intake
    intake.catalogue.close()


def test_new_slide_is_registered_once(intake):
    path = write_noise(intake.root / "a.tiff")

    (key,) = intake.settle()

    assert key.startswith("a-")
    assert intake.files.slide_keys() == (key,)
    assert intake.catalogue.slides.path(key) == path
    assert intake.settle() == []


@pytest.mark.parametrize(
    ("name", "shown"), [(b"bad\xff.tiff", r"bad\xff.tiff"), (b"a\x1b[2Jb.tiff", r"a\x1b[2Jb.tiff")]
)
def test_a_name_that_cannot_be_kept_is_told_and_stops_no_other_slide(intake, name, shown):
    good = write_noise(intake.root / "good.tiff")
    shutil.copy(good, intake.root / os.fsdecode(name))

    problems = intake.look()
    intake.look()

    (problem,) = problems
    assert shown in problem
    assert "Rename it." in problem
    assert intake.files.n_present(str(intake.root)) == 1


def test_growing_file_is_left_alone_until_it_stands_still(intake):
    whole = write_noise(intake.root.parent / "whole.tiff").read_bytes()
    copy = intake.root / "a.tiff"
    for n in range(1, 5):
        copy.write_bytes(whole[: len(whole) * n // 4])
        intake.look(after_s=25)
        assert intake.state() == {"settling": 1}
    intake.look(after_s=29)
    assert intake.register() == []
    intake.look(after_s=2)

    assert len(intake.register()) == 1


def test_stalled_copy_is_explained_and_taken_up_when_finished(intake):
    whole = write_noise(intake.root.parent / "whole.tiff").read_bytes()
    copy = intake.root / "a.tiff"
    copy.write_bytes(whole[: len(whole) // 2])

    assert intake.settle() == []
    (bad,) = intake.files.quarantined()
    assert bad.kind == "incomplete_slide"
    assert "needs at least" in bad.message
    assert "copy" in bad.remedy

    copy.write_bytes(whole)
    assert len(intake.settle()) == 1
    assert intake.files.quarantined() == ()


def test_file_without_mpp_waits_for_one(intake):
    write_noise(intake.root / "a.tiff", mpp=None)
    write_noise(intake.root / "b" / "a.tiff", seed=1, mpp=None)
    assert intake.settle() == []
    assert [bad.kind for bad in intake.files.quarantined()] == ["missing_mpp"] * 2
    with pytest.raises(CatalogueError, match="2 watched files"):
        intake.files.override_mpp("a.tiff", 0.5)

    intake.files.override_mpp("b/a.tiff", 0.5)

    (key,) = intake.register()
    assert intake.catalogue.slides.mpp_override(key) == 0.5
    assert len(intake.files.quarantined()) == 1


def test_renamed_and_copied_slides_are_recognised(intake):
    first = write_noise(intake.root / "a.tiff")
    (key,) = intake.settle()
    first.rename(intake.root / "renamed.tiff")

    assert intake.settle() == [key]
    assert intake.catalogue.slides.path(key).name == "renamed.tiff"
    shutil.copy(intake.root / "renamed.tiff", intake.root / "copy.tiff")
    assert intake.settle() == [key]
    (intake.root / "renamed.tiff").unlink()
    intake.look()
    assert intake.catalogue.slides.path(key).name == "copy.tiff"
    assert intake.files.slide_keys() == (key,)


def test_changed_file_is_another_slide_and_the_old_one_says_so(intake):
    path = write_noise(intake.root / "a.tiff", seed=1)
    (old,) = intake.settle()
    write_noise(path, seed=2)

    (new,) = intake.settle()

    assert new != old
    assert intake.catalogue.slides.path(new) == path
    with pytest.raises(CatalogueError, match="does not hold"):
        intake.catalogue.slides.path(old)


def test_copy_renames_nothing_and_a_changed_file_leaves_its_cohort(intake):
    first = write_noise(intake.root / "a.tiff", seed=1)
    (key,) = intake.settle()
    shutil.copy(first, intake.root / "copy.tiff")
    assert intake.settle() == [key]
    (known,) = intake.catalogue.slides.all()
    assert (known.name, known.path) == ("a.tiff", str(first))

    write_noise(first, seed=2)
    (new,) = intake.settle()
    assert {slide.key for slide in intake.catalogue.slides.all() if slide.is_replaced} == set()

    (intake.root / "copy.tiff").unlink()
    intake.look()
    by_key = {slide.key: slide.is_replaced for slide in intake.catalogue.slides.all()}
    assert by_key == {key: True, new: False}


def test_share_that_is_not_mounted_is_not_taken_for_deleted_slides(intake):
    path = write_noise(intake.root / "a.tiff")
    (key,) = intake.settle()
    away = intake.root.rename(intake.root.parent / "away")

    assert "not mounted" in intake.look()[0]
    intake.root.mkdir()
    assert "is it mounted?" in intake.look()[0]
    assert intake.state() == {"registered": 1}
    intake.root.rmdir()
    away.rename(intake.root)
    assert intake.look() == ()
    assert intake.settle() == []
    assert intake.catalogue.slides.path(key) == path


def test_slide_that_went_away_and_came_back_is_not_done_again(intake):
    write_noise(intake.root / "stays.tiff", seed=1)
    path = write_noise(intake.root / "a.tiff")
    intake.settle()
    path.rename(intake.root.parent / "a.tiff")
    intake.look()
    assert intake.state() == {"registered": 1, "missing": 1}

    (intake.root.parent / "a.tiff").rename(path)

    assert intake.settle() == []
    assert intake.state() == {"registered": 2}


def test_slide_that_failed_for_want_of_its_file_is_known_once_it_is_back(intake):
    path = write_noise(intake.root / "a.tiff")
    (key,) = intake.settle()
    away = path.rename(intake.root.parent / "away.tiff")
    absent = FailureRecord(str(path), AbsentSlideError.kind, "gone", "Put it back.", "run")
    intake.catalogue.results.record_failure(absent)
    assert intake.files.returned() == ()

    away.rename(intake.root / "elsewhere.tiff")
    intake.settle()

    (back,) = intake.files.returned()
    assert back.key == key
    intake.catalogue.results.record_failure(dataclasses.replace(absent, kind="compute"))
    assert intake.files.returned() == ()  # it failed for another reason since


def test_killed_registration_goes_on_where_it_stopped(intake):
    for i in range(5):
        write_noise(intake.root / f"{i}.tiff", seed=i)
    intake.look()
    intake.look()
    first = next(register_ready(intake.files, batch_size=2))  # and then the process is gone

    rest = intake.register()

    assert len(first.slide_keys) == 2
    assert len(rest) == 3
    assert len(intake.files.slide_keys()) == 5


def test_file_that_changes_while_it_is_read_is_not_registered(intake, monkeypatch):
    path = write_noise(intake.root / "a.tiff")
    intake.look()
    intake.look()
    (ready,) = intake.files.ready(9)
    write_noise(path, seed=3)
    later = time.time() + 5
    os.utime(path, (later, later))
    listed = iter([[ready], []])
    monkeypatch.setattr(intake.files, "ready", lambda _n: next(listed))

    (batch,) = register_ready(intake.files)

    assert batch.slide_keys == ()
    assert batch.n_unsettled == 1
    assert intake.state() == {"settling": 1}


def test_same_file_below_two_watched_folders_is_one(intake):
    write_noise(intake.root / "inner" / "a.tiff")
    roots = [intake.root, intake.root / "inner"]
    intake.look(roots=roots)
    intake.look(roots=roots)

    assert len(intake.register()) == 1
    assert intake.state() == {"registered": 1}


def test_clock_set_back_only_delays(intake):
    write_noise(intake.root / "a.tiff")
    intake.look()
    intake.look(after_s=-86_400)
    assert intake.state() == {"settling": 1}

    intake.look(after_s=31)

    assert intake.state() == {"ready": 1}


def test_quarantined_files_can_be_judged_again(intake):
    (intake.root / "a.svs").write_bytes(b"no slide")
    intake.settle()
    assert intake.state() == {"quarantined": 1}

    assert intake.files.retry_quarantined() == 1

    assert intake.state() == {"ready": 1}


def test_only_slides_are_listed_and_multi_file_ones_once(tmp_path):
    for name in ("a.svs", ".hidden.svs", "notes.txt", "sub/b.ndpi", "a.svs.part"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "m.mrxs").write_bytes(b"x")
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "inside.tif").write_bytes(b"x")
    (tmp_path / "series").mkdir()
    for i in range(3):
        (tmp_path / "series" / f"{i}.dcm").write_bytes(b"x")

    listing = list_slides(tmp_path)

    found = {str(path.relative_to(tmp_path)) for path in listing.units}
    assert found == {"a.svs", "sub/b.ndpi", "m.mrxs", "series/0.dcm"}
    before = listing.units[tmp_path / "m.mrxs"].signature
    (tmp_path / "m" / "Data0001.dat").write_bytes(b"y")
    assert list_slides(tmp_path).units[tmp_path / "m.mrxs"].signature != before


@pytest.mark.parametrize("missing", ["Slidedat.ini", "Index.dat", "Data0001.dat"])
def test_mirax_slide_without_one_of_its_files_is_incomplete(tmp_path, missing):
    folder = tmp_path / "m"
    folder.mkdir()
    (tmp_path / "m.mrxs").write_bytes(b"x")
    (folder / "Slidedat.ini").write_text(
        "\ufeff[HIERARCHICAL]\nINDEXFILE = Index.dat\n[DATAFILE]\nFILE_COUNT = 2\n"
        "FILE_0 = Data0000.dat\nFILE_1 = Data0001.dat\n",
        encoding="utf-8",
    )
    for name in ("Index.dat", "Data0000.dat", "Data0001.dat"):
        (folder / name).write_bytes(b"x")
    check_complete(tmp_path / "m.mrxs")
    (folder / missing).unlink()

    with pytest.raises(IncompleteSlideError, match=missing):
        check_complete(tmp_path / "m.mrxs")


def test_hamamatsu_slide_without_one_of_its_files_is_incomplete(tmp_path):
    path = tmp_path / "s.vms"
    path.write_text("[Virtual Microscope Specimen]\nImageFile=s.jpg\nImageFile(1,0)=s1.jpg\n")
    (tmp_path / "s.jpg").write_bytes(b"x")

    with pytest.raises(IncompleteSlideError, match=r"s1\.jpg"):
        check_complete(path)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.999])
def test_cut_off_real_slide_never_gets_through(intake, shared_data, share):
    whole = (shared_data / "slides" / "CMU-1-Small-Region.svs").read_bytes()
    (intake.root / "cut.svs").write_bytes(whole[: int(len(whole) * share)])

    assert intake.settle() == []
    assert intake.state() == {"quarantined": 1}


def test_real_slides_are_sorted_into_good_and_explained(intake, shared_data):
    shutil.copytree(shared_data / "slides", intake.root, dirs_exist_ok=True)

    keys = intake.settle()

    assert {key.rsplit("-", 1)[0] for key in keys} >= {"CMU-1-Small-Region", "boxes_0"}
    kinds = {Path(bad.path).name: bad.kind for bad in intake.files.quarantined()}
    assert kinds["TCGA-CR-7395-01A-01-TS1.svs"] == "missing_mpp"
    assert kinds["openslide_unreadable.svs"] == "unreadable_slide"
    assert kinds["histolab_broken.svs"] == "unreadable_slide"
    assert all(bad.remedy for bad in intake.files.quarantined())


@pytest.mark.slow
def test_ten_thousand_files(intake):
    """Prints seconds; asserts only what does not depend on the machine."""
    body = write_noise(intake.root.parent / "one.tiff").read_bytes()
    for i in range(10_000):  # bytes after the last tile make each another slide
        (intake.root / f"{i:05}.tiff").write_bytes(body + i.to_bytes(4, "big"))
    seconds = {}

    def timed(name, step):
        started = time.perf_counter()
        found = step()
        seconds[name] = round(time.perf_counter() - started, 2)
        return found

    timed("first look", intake.look)
    timed("second look", intake.look)
    keys = timed("register", intake.register)
    timed("idle look", intake.look)

    print(seconds)  # noqa: T201
    assert len(set(keys)) == 10_000
    assert intake.state() == {"registered": 10_000}
    assert intake.register() == []
