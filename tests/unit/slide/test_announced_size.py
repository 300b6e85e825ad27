"""What a compressed tile says of its own size, and tiles that announce what they do not have."""

import imagecodecs
import numpy as np
import pytest
import tifffile

from hoverfast_platform.errors import UnreadableSlideError
from hoverfast_platform.geometry import Box
from hoverfast_platform.slide.announced_size import announced_pixels
from hoverfast_platform.slide.tiff_reader import TiffReader

RGB = np.random.default_rng(0).integers(0, 256, (64, 80, 3), dtype=np.uint8)
ENCODED = {
    "JPEG": lambda rgb: imagecodecs.jpeg8_encode(rgb),
    "PNG": lambda rgb: imagecodecs.png_encode(rgb),
    "LERC": lambda rgb: imagecodecs.lerc_encode(rgb),
    "JPEG 2000": lambda rgb: imagecodecs.jpeg2k_encode(rgb),
    "JPEG 2000, bare": lambda rgb: imagecodecs.jpeg2k_encode(rgb, codecformat="j2k"),
    "JPEG XR": lambda rgb: imagecodecs.jpegxr_encode(rgb),
    "JPEG XL": lambda rgb: imagecodecs.jpegxl_encode(rgb),
    "JPEG XL in a box": lambda rgb: imagecodecs.jpegxl_encode(rgb, usecontainer=True),
}


@pytest.mark.parametrize("name", ENCODED)
@pytest.mark.parametrize("shape", [(64, 80), (61, 33), (64, 64), (300, 16)])
def test_the_size_is_read_from_the_header(name, shape):
    rgb = np.resize(RGB, (*shape, 3))
    n_pixels = shape[0] * shape[1]
    n_most = 2 * shape[0] ** 2 if "XL" in name else n_pixels  # its ratios are not told apart

    assert n_pixels <= announced_pixels(ENCODED[name](rgb)) <= max(n_pixels, n_most)


@pytest.mark.parametrize("name", ENCODED)
def test_a_header_that_is_cut_off_or_damaged_raises_nothing(name):
    data = ENCODED[name](RGB)
    for n in range(min(len(data), 120)):
        announced_pixels(data[:n])
        announced_pixels(data[:n] + b"\xff" * 40 + data[n:])


def test_a_tile_that_announces_billions_of_pixels_is_never_given_to_its_codec(
    tmp_path, monkeypatch
):
    path = tmp_path / "s.tif"
    tifffile.imwrite(path, RGB, photometric="rgb", compression="jpeg", tile=(64, 80), metadata=None)
    data = path.read_bytes()
    at = data.rindex(b"\xff\xc0") + 5
    path.write_bytes(data[:at] + b"\xff\xf0\xff\xf0" + data[at + 4 :])
    given = []
    monkeypatch.setattr(imagecodecs, "jpeg_decode", lambda *a, **k: given.append(a))

    with TiffReader(path, mpp_override=0.25) as reader, pytest.raises(UnreadableSlideError):
        reader.read_level(0, Box.at_origin(width=80, height=64))
    assert given == []
