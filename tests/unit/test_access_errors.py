"""What this user may not read or write is told as that, in one line, by every command."""

import os
import shutil
import subprocess
import sys

import pytest

from hoverfast_platform.access_errors import access_refused
from hoverfast_platform.errors import StorageError, UnreadableSlideError
from hoverfast_platform.synthetic import write_synthetic_slide
from hoverfast_platform.use_cases.outcome import each


def hoverfast(*words):
    """The command, as a user whom rights bind: root is bound by none."""
    program = [sys.executable, "-m", "hoverfast_platform.cli.main", *map(str, words)]
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("root is bound by no rights, and setpriv is not here to give them up")
        program = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", *program]
    return subprocess.run(program, capture_output=True, text=True, check=False)


@pytest.fixture
def locked(tmp_path):
    """A folder that nobody may enter, with a slide in it."""
    folder = tmp_path / "locked"
    folder.mkdir()
    write_synthetic_slide(folder / "a.tiff", width_px=300, height_px=200)
    folder.chmod(0)
    yield folder
    folder.chmod(0o700)


def test_a_slide_that_may_not_be_read_is_no_defect_of_ours(tmp_path):
    slide = tmp_path / "a.tiff"
    write_synthetic_slide(slide, width_px=300, height_px=200)
    slide.chmod(0)

    done = hoverfast("mask", slide, "-o", tmp_path / "out")

    assert done.returncode == 1
    (line, count) = done.stderr.splitlines()
    assert line.startswith(f"a.tiff: FAILED (unreadable_slide): {slide} cannot be read: Permission")
    assert "belongs to another user" in line
    assert count.startswith("1 of 1 slides failed")


@pytest.mark.parametrize(
    "words", [("mask", "{0}/a.tiff", "-o", "{1}"), ("slide", "info", "{0}/a.tiff"),
              ("lineage", "{0}/a.json.gz"), ("infer_wsi", "{0}", "-o", "{1}")],
)  # fmt: skip
def test_files_in_a_locked_folder_are_told_in_one_line(locked, tmp_path, words):
    done = hoverfast(*(word.format(locked, tmp_path / "out") for word in words))

    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    assert str(locked) in done.stderr
    assert "Permission denied" in done.stderr


def test_a_model_that_may_not_be_read_is_not_called_damaged(tmp_path):
    slide, model = tmp_path / "a.tiff", tmp_path / "m.pth"
    write_synthetic_slide(slide, width_px=300, height_px=200)
    model.write_bytes(b"PK")
    model.chmod(0)

    done = hoverfast("infer_wsi", slide, "-m", model, "-o", tmp_path / "out")

    assert done.returncode == 1
    assert f"{model} may not be read or written: Permission denied" in done.stderr
    assert "damaged" not in done.stderr


def test_a_refused_file_is_one_named_error_and_others_go_on():
    def make(item):
        if item == "a":
            raise PermissionError(13, "Permission denied", "/out/a.png")
        return item

    first, second = each(["a", "b"], make, record_failure=lambda *_: None)

    assert first.kind == StorageError.kind
    assert first.failure_text.startswith("/out/a.png may not be read or written: Permission denied")
    assert second.product == "b"


def test_our_own_errors_stay_what_they_are():
    assert access_refused(UnreadableSlideError("a.tiff")) is None
    assert access_refused(OSError(5, "Input/output error")) is None
