"""Threads that share a TIFF read each at its own place, however slow the file is."""

import io
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tifffile

from hoverfast_platform.geometry import Box
from hoverfast_platform.slide.tiff_reader import TiffReader


class SlowFile(io.BytesIO):
    """Lets other threads go on between seeking and reading, as a network share does."""

    def seek(self, *where):
        found = super().seek(*where)
        time.sleep(0.0005)
        return found


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_threads_do_not_read_at_each_others_places(tmp_path, compression):
    rgb = np.random.default_rng(0).integers(0, 255, (256, 192, 3), dtype=np.uint8)
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, rgb, photometric="rgb", tile=(32, 32), compression=compression)
    boxes = [
        Box.of(x=x, y=y, width=32, height=32) for y in range(0, 256, 32) for x in range(0, 192, 32)
    ]

    slow = SlowFile(path.read_bytes())
    with TiffReader(path, mpp_override=0.25, file=slow) as reader, ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda box: reader.read_level(0, box), boxes))

    for box, pixels in zip(boxes, found, strict=True):
        np.testing.assert_array_equal(pixels, rgb[box.y0 : box.y1, box.x0 : box.x1])
