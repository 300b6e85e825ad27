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
