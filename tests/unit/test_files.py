"""Files are whole or absent, and an error keeps its own words."""

import subprocess
import sys

import pytest
from pydantic import BaseModel

from hoverfast_platform.errors import MaskError, StorageError, UnreadableSlideError
from hoverfast_platform.files import (
    folder_written_atomically,
    read_settings_file,
    reporting_storage,
    scratch_folder,
    written_atomically,
)


class Limits(BaseModel):
    most: int


def test_the_older_file_stays_when_the_new_one_cannot_be_finished(tmp_path):
    path = tmp_path / "table"
    path.write_text("older")

    def write_half(part):
        part.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(StorageError, match="No space left"), written_atomically(path) as part:
        write_half(part)

    assert path.read_text() == "older"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_replaces_the_older_one_and_the_rest_of_a_killed_run(tmp_path):
    path = tmp_path / "pyramid"
    for folder in (path, tmp_path / ".pyramid.part"):
        folder.mkdir()
        (folder / "older").touch()

    with folder_written_atomically(path) as part:
        part.mkdir()
        (part / "newer").touch()

    assert [p.relative_to(tmp_path).as_posix() for p in sorted(tmp_path.rglob("*"))] == [
        "pyramid",
        "pyramid/newer",
    ]


@pytest.mark.parametrize("writing", [written_atomically, folder_written_atomically])
def test_a_slide_that_cannot_be_read_is_not_called_a_full_disk(tmp_path, writing):
    """Both are an ``OSError``; the remedy of one does not help against the other."""
    with pytest.raises(UnreadableSlideError, match=r"tile \(3, 5\)"), writing(tmp_path / "set"):
        raise UnreadableSlideError("tile (3, 5) cannot be read.", "Copy the slide again.")

    assert list(tmp_path.iterdir()) == []


def test_a_library_that_has_its_own_word_for_a_full_disk_is_understood(tmp_path):
    class LibraryError(Exception):
        pass

    path = tmp_path / "table"
    said = pytest.raises(StorageError, match="cannot be written: 5 bytes")
    with said, reporting_storage(path, LibraryError):
        raise LibraryError("5 bytes did not fit")


def test_settings_that_are_wrong_name_their_file_and_every_wrong_field(tmp_path):
    path = tmp_path / "limits.json"
    path.write_text('{"most": "many"}')

    with pytest.raises(MaskError, match=r"(?s)limits\.json is not a file of limits.*most") as told:
        read_settings_file(
            path, Limits, what="a file of limits", remedy="Mend it.", raises=MaskError
        )

    assert told.value.remedy == "Mend it."


def test_a_scratch_folder_goes_with_its_block_and_what_a_killed_process_left_goes_too(tmp_path):
    code = (
        "import os, pathlib, sys; from hoverfast_platform.files import scratch_folder\n"
        "with scratch_folder(pathlib.Path(sys.argv[1])) as folder:\n"
        "    (folder / 'level.raw').write_bytes(b'half')\n"
        "    os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path], check=False)
    (left,) = tmp_path.iterdir()
    assert (left / "level.raw").exists()

    with scratch_folder(tmp_path) as outer, scratch_folder(tmp_path) as inner:
        assert not left.exists()
        assert outer.is_dir()
        assert inner.is_dir()
        assert outer != inner

    assert list(tmp_path.iterdir()) == []
