"""Files that are listed although their bytes are elsewhere, as a tape archive leaves them."""

import os
import types

import numpy as np
import pytest

from hoverfast_platform.errors import IncompleteSlideError
from hoverfast_platform.ingest.units import signature
from hoverfast_platform.slide import offline
from hoverfast_platform.slide.completeness import check_complete
from tests.builders import write_slide


def keep_elsewhere(path):
    """As an archive does: name, size and time stay, the bytes go."""
    status = path.stat()
    path.write_bytes(b"")
    os.truncate(path, status.st_size)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_a_slide_kept_elsewhere_is_named_and_taken_up_once_it_is_recalled(tmp_path):
    path = write_slide(tmp_path / "a.tiff", np.full((64, 72, 3), 200, np.uint8))
    content, before, times = path.read_bytes(), signature(path), path.stat().st_mtime_ns
    check_complete(path)

    keep_elsewhere(path)

    with pytest.raises(IncompleteSlideError, match=f"{len(content):,} bytes, and none of them"):
        check_complete(path)
    away = signature(path)
    path.write_bytes(content)
    os.utime(path, ns=(times, times))
    assert away != signature(path) == before


def test_the_data_of_a_slide_of_several_files_are_looked_at(tmp_path):
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "Slidedat.ini").write_text(
        "[HIERARCHICAL]\nINDEXFILE = Index.dat\n[DATAFILE]\nFILE_COUNT = 1\nFILE_0 = Data0.dat\n"
    )
    for name in ("Index.dat", "Data0.dat"):
        (folder / name).write_bytes(b"pixels" * 2000)
    path = tmp_path / "a.mrxs"
    path.write_bytes(b"\xff\xd8index")
    check_complete(path)
    keep_elsewhere(folder / "Data0.dat")

    with pytest.raises(IncompleteSlideError, match=r"Data0\.dat is listed with"):
        check_complete(path)


@pytest.mark.parametrize(
    "said",
    [{"st_file_attributes": 0x1000}, {"st_file_attributes": 0x400020}, {"st_flags": 1 << 30}],
)
def test_what_windows_and_macos_say_of_a_file_is_believed(tmp_path, monkeypatch, said):
    path = write_slide(tmp_path / "a.tiff", np.full((64, 72, 3), 200, np.uint8))
    status = types.SimpleNamespace(st_size=path.stat().st_size, st_blocks=8, **said)
    monkeypatch.setattr(type(path), "stat", lambda _path, **_options: status)

    with pytest.raises(IncompleteSlideError, match="none of them is on disk"):
        offline.refuse_offline(path)
