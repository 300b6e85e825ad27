"""Small files that would fill the memory, and names that would lead elsewhere."""

import gzip
import itertools
import os
import struct
import time
import zlib

import numpy as np
import pytest
import tifffile

from hoverfast_platform.cohorts.cohort import LearningFolder
from hoverfast_platform.errors import (
    LabelError,
    MaskError,
    SettingsError,
    StorageError,
    UnreadableSlideError,
)
from hoverfast_platform.files import one_name
from hoverfast_platform.mask.builtin import find_tissue
from hoverfast_platform.mask.foreign_pixels import read_foreign_tissue
from hoverfast_platform.slide import open_slide
from hoverfast_platform.slide.thumbnail import read_thumbnail
from hoverfast_platform.storage import limits
from hoverfast_platform.storage.flat_images import read_instance_map, read_rgb
from hoverfast_platform.storage.foreign_outlines import read_outlines
from hoverfast_platform.storage.foreign_table import read_table


@pytest.fixture
def small_limit(monkeypatch):
    monkeypatch.setattr(limits, "ALWAYS_BYTES", 1 << 20)


def png_header(width, height):
    """A PNG that announces a size and holds next to nothing."""

    def chunk(kind, content):
        return (
            struct.pack(">I", len(content))
            + kind
            + content
            + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


def npy_header(shape):
    header = repr({"descr": "<i4", "fortran_order": False, "shape": shape}).encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header


def tiff_with_a_huge_header(path, **options):
    """Written small, then its width and height are raised in place."""
    tifffile.imwrite(path, np.zeros((16, 20, *options.pop("planes", ())), np.uint16), **options)
    with tifffile.TiffFile(path, mode="r+b") as file:
        file.pages.first.tags["ImageWidth"].overwrite(1_000_000)
        file.pages.first.tags["ImageLength"].overwrite(1_000_000)
    return path


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suffix", [".png", ".tif", ".npy"])
def test_label_image_that_announces_a_terapixel_is_refused(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    if suffix == ".tif":
        tiff_with_a_huge_header(path)
    else:
        make = {".png": png_header(10**6, 10**6), ".npy": npy_header((10**6, 10**6))}
        path.write_bytes(make[suffix])

    with pytest.raises(LabelError, match="not a readable label image"):
        read_instance_map(path)


@pytest.mark.filterwarnings("ignore")
def test_colour_tiff_that_announces_a_terapixel_is_refused(tmp_path):
    path = tiff_with_a_huge_header(tmp_path / "x.tif", planes=(3,), photometric="rgb")

    with pytest.raises(UnreadableSlideError, match="announces"):
        read_rgb(path)


def sparse_slide(path, width, height, tile_px, mpp=0.25):
    """A slide of some kilobytes that announces any size and holds no tile."""
    tifffile.imwrite(
        path,
        itertools.repeat(b"", -(-width // tile_px) * -(-height // tile_px)),
        shape=(height, width, 3),
        dtype=np.uint8,
        tile=(tile_px, tile_px),
        photometric="rgb",
        compression="deflate",
        resolution=(1e4 / mpp,) * 2,
        resolutionunit=3,
        bigtiff=True,
    )
    return path


@pytest.mark.parametrize("mpp", [0.25, 8.0])
def test_slide_that_announces_a_terapixel_ends_at_once(tmp_path, mpp):
    path = sparse_slide(tmp_path / "x.tif", 300_032, 299_008, 4096, mpp)
    with path.open("r+b") as file:
        file.truncate(20 << 20)  # bytes enough to be taken for a slide
    started = time.monotonic()

    with open_slide(path) as reader:
        with pytest.raises(UnreadableSlideError, match="gigapixels would be read"):
            find_tissue(reader)
        with pytest.raises(UnreadableSlideError, match="gigapixels would be read"):
            read_thumbnail(reader, 512)
    assert time.monotonic() - started < 10


def test_slide_of_gigapixels_in_a_few_bytes_is_refused_at_opening(tmp_path):
    path = sparse_slide(tmp_path / "x.tif", 100_000, 80_000, 4096)

    with pytest.raises(UnreadableSlideError, match="too few for a slide of that size"):
        open_slide(path)


@pytest.mark.parametrize("compression", ["deflate", "zstd"])  # by OpenSlide, by tifffile
def test_slide_in_one_tile_that_would_fill_the_memory_is_refused(tmp_path, compression):
    path = sparse_slide(tmp_path / "x.tif", 65_520, 32_768, 32_752)
    if compression == "zstd":
        with tifffile.TiffFile(path, mode="r+b") as file:
            file.pages.first.tags["Compression"].overwrite(50000)

    with pytest.raises(UnreadableSlideError, match="stored in pieces of"):
        open_slide(path)


def test_a_mask_that_is_the_slide_itself_is_refused_unread(tmp_path):
    path = tmp_path / "x.png"
    with path.open("wb") as file:
        file.truncate(2 << 30)

    with pytest.raises(MaskError, match="too large for a mask"):
        read_foreign_tissue(path)


def test_pipes_and_devices_are_refused_unread(tmp_path):
    pipe = tmp_path / "x.png"
    os.mkfifo(pipe)

    for read, kind in ((read_foreign_tissue, MaskError), (read_rgb, UnreadableSlideError)):
        with pytest.raises(kind, match="pipe or a device"):
            read(pipe)
    with pytest.raises(StorageError, match="pipe or a device"):
        read_table(pipe, ("stem",))


@pytest.mark.parametrize("line", [b"a,b\n", b"\xe9,b\n"])
def test_a_table_of_any_length_is_refused_before_it_is_read(tmp_path, line, monkeypatch):
    monkeypatch.setattr(limits, "TABLE_BYTES", 1 << 20)
    path = tmp_path / "x.csv"
    path.write_bytes(b"stem,group\n" + line * (1 << 19))

    with pytest.raises(StorageError, match="too many for a table"):
        read_table(path, ("stem",))


def test_gzip_bomb_is_refused_before_it_is_unpacked(tmp_path, small_limit):
    path = tmp_path / "x.geojson.gz"
    path.write_bytes(gzip.compress(b'{"features": [' + b" " * (4 << 20) + b"]}"))
    assert path.stat().st_size < 20_000

    with pytest.raises(StorageError, match="expands to more"):
        read_outlines(path)


def test_json_nested_beyond_reason_is_refused(tmp_path):
    path = tmp_path / "x.geojson"
    path.write_text("[" * 200_000)

    with pytest.raises(StorageError, match="nested"):
        read_outlines(path)


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "/etc/passwd", "a\\b", "a\0b"])
def test_name_that_leads_elsewhere_is_refused(name, tmp_path):
    with pytest.raises(SettingsError, match="cannot be the name"):
        one_name(name)
    with pytest.raises(SettingsError):
        LearningFolder(tmp_path).plan(name)


@pytest.mark.parametrize(
    "name", ["slide-1", "Gr\u00f6\u00dfe 1", "a..b", "...", "x.svs-0123456789"]
)
def test_odd_names_are_names(name):
    assert one_name(name) == name
