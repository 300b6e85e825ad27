"""A copy that stopped too early is noticed by what its own index speaks of."""

import numpy as np
import pytest
import tifffile

from hoverfast_platform.errors import IncompleteSlideError
from hoverfast_platform.slide.completeness import check_complete


def test_a_file_cut_off_before_its_second_directory_is_incomplete(tmp_path):
    """All tiles of the first directory are there; tifffile leaves the second out."""
    path = tmp_path / "two.tiff"
    with tifffile.TiffWriter(path) as tiff:
        for side in (64, 32):
            tiff.write(np.zeros((side, 2 * side, 3), np.uint8), photometric="rgb", metadata=None)
    with tifffile.TiffFile(path) as tiff:
        second = tiff.pages[1].offset
    check_complete(path)
    path.write_bytes(path.read_bytes()[:second])

    with pytest.raises(IncompleteSlideError, match=f"needs at least {second + 1:,}"):
        check_complete(path)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("FILE_COUNT = 99999999999999999999", "has '99999999999999999999' files"),
        ("FILE_COUNT = \0\0\0", "files"),
        ("FILE_COUNT = -1", "has '-1' files"),
        ("FILE_COUNT = 1\nFILE_0 = " + 300 * "x", "lacks 1 of its files"),
        ("FILE_COUNT = 1\nFILE_0 = a\0b", "lacks 1 of its files"),
        ("FILE_COUNT = 2\nFILE_0 = Data0000.dat", r"lacks 1 of its files: Data0001\.dat"),
    ],
)
def test_a_damaged_index_of_mirax_is_an_incomplete_slide(tmp_path, lines, said):
    folder = tmp_path / "s"
    folder.mkdir()
    (folder / "Slidedat.ini").write_text(f"[HIERARCHICAL]\nINDEXFILE = I.dat\n[DATAFILE]\n{lines}")
    for name in ("I.dat", "Data0000.dat"):
        (folder / name).write_bytes(b"x")
    (tmp_path / "s.mrxs").write_bytes(b"x")

    with pytest.raises(IncompleteSlideError, match=said):
        check_complete(tmp_path / "s.mrxs")


def test_a_damaged_index_of_hamamatsu_is_an_incomplete_slide(tmp_path):
    path = tmp_path / "s.vms"
    path.write_text("[Virtual Microscope Specimen]\nImageFile=a\0b\nMapFile=" + 300 * "x")

    with pytest.raises(IncompleteSlideError, match="lacks 2 of its files"):
        check_complete(path)
