"""Slides with damaged headers are read, or refused by one of our errors, in bounded time."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hoverfast_platform.config import Scale
from hoverfast_platform.errors import HoverFastError
from hoverfast_platform.geometry import Box
from hoverfast_platform.slide import open_slide
from hoverfast_platform.slide.tiff_reader import TiffReader

RGB = np.random.default_rng(3).integers(0, 256, (40, 56, 3), dtype=np.uint8)
SCALE = {"resolution": (40_000, 20_000), "resolutionunit": "CENTIMETER"}
WRITTEN = {
    "zstd": {"compression": "zstd"},
    "WebP": {"compression": "webp"},
    "JPEG": {"compression": "jpeg"},
    "LZW, predicted": {"compression": "lzw", "predictor": True},
    "JPEG 2000": {"compression": "jpeg2000"},
    "big-endian": {"byteorder": ">"},
    "BigTIFF": {"bigtiff": True, "compression": "deflate"},
    "planes apart": {"planarconfig": "separate", "compression": "zstd"},
    "OME": {"ome": True, "metadata": {"axes": "YXS", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.5}},
}
damages = st.lists(st.tuples(st.integers(0, 700), st.integers(0, 255)), min_size=1, max_size=6)
FUZZ = settings(
    max_examples=60,
    deadline=10_000,  # ms; reading one takes some
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture(params=WRITTEN)
def slide_bytes(request, tmp_path):
    how = {"metadata": None, "tile": (16, 32), **SCALE, **WRITTEN[request.param]}
    planar = "planarconfig" in how
    path = tmp_path / "whole.tif"
    tifffile.imwrite(path, np.moveaxis(RGB, -1, 0) if planar else RGB, photometric="rgb", **how)
    return path.read_bytes()


def damaged(data, changes, length):
    found = bytearray(data[: int(len(data) * length)])
    for at, value in changes:
        if found:
            found[at % len(found)] = value
    return bytes(found)


def read_some(opened):
    with opened as reader:
        info = reader.info
        for level in range(len(info.level_sizes)):
            part = reader.read_level(level, Box.of(x=3, y=2, width=70, height=50))
            assert part.shape == (50, 70, 3)
            assert part.dtype == np.uint8


@FUZZ
@given(changes=damages, length=st.sampled_from([1.0, 1.0, 1.0, 0.7, 0.2]))
def test_a_damaged_tiff_is_read_or_refused(slide_bytes, tmp_path, changes, length):
    path = tmp_path / "s.tif"
    path.write_bytes(damaged(slide_bytes, changes, length))

    for opened in (
        lambda: open_slide(path, Scale(mpp_override=0.25)),
        lambda: TiffReader(path, mpp_override=0.25),
    ):
        try:
            read_some(opened())
        except HoverFastError as error:
            assert str(error)  # noqa: PT017 - either outcome is right


@FUZZ
@given(changes=damages)
def test_a_damaged_real_slide_is_read_or_refused(shared_data: Path, tmp_path, changes):
    data = (shared_data / "slides" / "openslide_small_16px.svs").read_bytes()
    path = tmp_path / "s.svs"
    path.write_bytes(damaged(data, changes, 1.0))

    try:
        read_some(open_slide(path, Scale(mpp_override=0.25)))
    except HoverFastError as error:
        assert str(error)  # noqa: PT017
