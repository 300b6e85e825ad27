"""Small files that would fill the memory, and names that would lead elsewhere."""

import gzip
import struct
import zlib

import numpy as np
import pytest
import tifffile

from hoverfast_platform.cohorts.cohort import LearningFolder
from hoverfast_platform.errors import LabelError, SettingsError, StorageError, UnreadableSlideError
from hoverfast_platform.files import one_name
from hoverfast_platform.storage import limits
from hoverfast_platform.storage.flat_images import read_instance_map, read_rgb
from hoverfast_platform.storage.foreign_outlines import read_outlines


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
