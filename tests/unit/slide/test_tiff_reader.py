"""TIFF that OpenSlide does not read, or reads wrongly."""

import re
import threading

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner

from hoverfast_platform.cli.slide import command
from hoverfast_platform.config import Scale
from hoverfast_platform.errors import (
    IncompleteSlideError,
    MissingMppError,
    UnreadableSlideError,
)
from hoverfast_platform.geometry import Box
from hoverfast_platform.slide import open_slide
from hoverfast_platform.slide.formats import FORMATS, SLIDE_SUFFIXES
from hoverfast_platform.slide.tiff_reader import TiffReader

WIDTH, HEIGHT = 320, 208
RGB = np.random.default_rng(3).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
TILED = {"tile": (64, 80), "metadata": None}
SCALE = {"resolution": (40_000, 20_000), "resolutionunit": "CENTIMETER"}
OME = {"axes": "YXS", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.5}
BOX = Box.of(x=70, y=50, width=130, height=90)


def pixels_of(path, box=BOX, scale=Scale()):
    with open_slide(path, scale) as reader:
        return reader.read_level(0, box), reader.info


def expected(box=BOX):
    return RGB[box.y0 : box.y1, box.x0 : box.x1]


def ome_planes(path, **more):
    metadata = {**OME, "axes": "CYX", **more}
    tifffile.imwrite(
        path, np.moveaxis(RGB, -1, 0), ome=True, photometric="minisblack", tile=(64, 80),
        metadata=metadata,
    )  # fmt: skip


WRITTEN = {
    "big-endian": {"byteorder": ">", **TILED, **SCALE},
    "zstd": {"compression": "zstd", **TILED, **SCALE},
    "JPEG 2000": {"compression": "jpeg2000", **TILED, **SCALE},
    "JPEG XL": {"compression": "jpegxl", **TILED, **SCALE},
    "JPEG XR": {"compression": "jpegxr", **TILED, **SCALE},
    "WebP": {"compression": "webp", **TILED, **SCALE},
    "LERC": {"compression": "lerc", **TILED, **SCALE},
    "PNG": {"compression": "png", **TILED, **SCALE},
    "LZMA": {"compression": "lzma", **TILED, **SCALE},
    "planar": {"planarconfig": "separate", **TILED, **SCALE},
    "strips": {"metadata": None, **SCALE},
    "OME-XML": {"ome": True, "tile": (64, 80), "metadata": OME},
    "OME-XML in nm": {
        "ome": True,
        "tile": (64, 80),
        "metadata": {
            "axes": "YXS",
            "PhysicalSizeX": 250,
            "PhysicalSizeXUnit": "nm",
            "PhysicalSizeY": 0.0005,
            "PhysicalSizeYUnit": "mm",
        },
    },
}


@pytest.mark.parametrize("name", WRITTEN)
def test_pixels_and_scale_are_those_that_were_written(tmp_path, name):
    how = WRITTEN[name]
    pixels = np.moveaxis(RGB, -1, 0) if name == "planar" else RGB
    tifffile.imwrite(tmp_path / "s.tif", pixels, photometric="rgb", **how)

    found, info = pixels_of(tmp_path / "s.tif")

    assert np.array_equal(found, expected())
    assert (info.width, info.height) == (WIDTH, HEIGHT)
    assert (info.mpp.x, info.mpp.y) == pytest.approx((0.25, 0.5))


def test_reading_starts_no_thread_that_could_be_waited_for(tmp_path):
    tifffile.imwrite(tmp_path / "s.tif", RGB, photometric="rgb", **WRITTEN["zstd"])
    before = threading.active_count()

    with TiffReader(tmp_path / "s.tif") as reader:
        reader.read_level(0, BOX)

        assert threading.active_count() == before


def test_tiles_that_the_file_leaves_out_are_white(tmp_path):
    tifffile.imwrite(tmp_path / "s.tif", RGB, photometric="rgb", **WRITTEN["zstd"])
    with tifffile.TiffFile(tmp_path / "s.tif", mode="r+") as file:
        sizes = file.pages.first.tags["TileByteCounts"]
        sizes.overwrite((0, *sizes.value[1:]))

    with TiffReader(tmp_path / "s.tif") as reader:
        found = reader.read_level(0, Box.at_origin(width=WIDTH, height=HEIGHT))

    assert (found[:64, :80] == 255).all()
    assert np.array_equal(found[:, 80:], RGB[:, 80:])


def test_planes_in_other_files_are_refused(tmp_path):
    planes = np.moveaxis(RGB, -1, 0)
    ome_planes(tmp_path / "s.ome.tif")
    xml = tifffile.tiffcomment(tmp_path / "s.ome.tif")
    parts = [f'<TiffData IFD="0" FirstC="{c}"><UUID FileName="c{c}.ome.tif">urn:uuid:{c}</UUID>'
             "</TiffData>" for c in range(3)]  # fmt: skip
    xml = re.sub(r"<TiffData.*?(/>|</TiffData>)", "".join(parts), xml, count=1)
    for c in range(3):
        tifffile.imwrite(tmp_path / f"c{c}.ome.tif", planes[c], description=xml, metadata=None)

    with pytest.raises(UnreadableSlideError, match="in several files"):
        TiffReader(tmp_path / "c0.ome.tif")


def test_three_planes_are_a_colour_image_and_said_to_be(tmp_path):
    ome_planes(tmp_path / "s.ome.tif")

    found, info = pixels_of(tmp_path / "s.ome.tif")

    assert np.array_equal(found, expected())
    assert "three planes" in info.notes[0]


def test_fluorescence_is_refused(tmp_path):
    ome_planes(tmp_path / "s.ome.tif", Channel={"Name": ["DAPI", "FITC", "TRITC"]})

    with pytest.raises(UnreadableSlideError, match="DAPI, FITC"):
        TiffReader(tmp_path / "s.ome.tif")


@pytest.mark.parametrize(("n_bits", "white"), [(10, 1023), (12, 4095), (14, 16383), (16, 65535)])
def test_values_of_few_bits_in_16_are_scaled_aloud(tmp_path, n_bits, white):
    deep = np.round(RGB / 255 * white).astype(np.uint16)
    tifffile.imwrite(tmp_path / "s.tif", deep, photometric="rgb", **TILED, **SCALE)

    found, info = pixels_of(tmp_path / "s.tif")

    assert np.abs(found.astype(int) - expected()).max() <= 1
    assert f"{white} is white" in info.notes[0]


def test_a_grey_slide_says_so(tmp_path):
    tifffile.imwrite(tmp_path / "s.tif", RGB[..., 1], photometric="minisblack", **TILED, **SCALE)

    with TiffReader(tmp_path / "s.tif") as reader:
        assert np.array_equal(reader.read_level(0, BOX)[..., 2], expected()[..., 1])
        assert "grey" in reader.info.notes[0]


def test_levels_in_sub_directories_are_levels(tmp_path):
    half = RGB[::2, ::2]
    with tifffile.TiffWriter(tmp_path / "s.ome.tif", ome=True) as file:
        file.write(RGB, subifds=1, photometric="rgb", tile=(64, 80), metadata=OME)
        file.write(half, subfiletype=1, photometric="rgb", tile=(64, 80))

    with open_slide(tmp_path / "s.ome.tif") as reader:
        assert reader.info.level_sizes == ((WIDTH, HEIGHT), (WIDTH // 2, HEIGHT // 2))
        box = Box.of(x=30, y=20, width=60, height=40)
        assert np.array_equal(reader.read_level(1, box), half[20:60, 30:90])


def test_further_images_are_named(tmp_path):
    with tifffile.TiffWriter(tmp_path / "s.ome.tif", ome=True) as file:
        file.write(RGB[:64, :80], photometric="rgb", metadata={**OME, "Name": "small"})
        file.write(RGB, photometric="rgb", metadata={**OME, "Name": "large"})

    found, info = pixels_of(tmp_path / "s.ome.tif")

    assert np.array_equal(found, expected())
    assert "large was read, and not small" in info.notes[0]


def test_both_readers_see_the_same_pixels(tmp_path):
    tifffile.imwrite(tmp_path / "s.tif", RGB, photometric="rgb", **TILED, **SCALE)
    beyond = Box.of(x=250, y=150, width=130, height=90)

    found, info = pixels_of(tmp_path / "s.tif", beyond)

    with TiffReader(tmp_path / "s.tif") as reader:
        assert info.vendor == "generic-tiff"
        assert np.array_equal(reader.read_level(0, beyond), found)
        assert reader.info.mpp == info.mpp


def test_without_a_scale_it_is_refused_and_an_override_is_taken(tmp_path):
    tifffile.imwrite(tmp_path / "s.tif", RGB, byteorder=">", photometric="rgb", **TILED)

    with pytest.raises(MissingMppError):
        open_slide(tmp_path / "s.tif")
    assert pixels_of(tmp_path / "s.tif", scale=Scale(mpp_override=0.3))[1].mpp.x == 0.3


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.svs", b"", "is empty"),
        ("a.mrxs", b"\xff\xd8", r"Slidedat\.ini"),
        ("a.svs", b"<!DOCTYPE html><html>", "a web page"),
        ("a.svs", b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
    ],
)
def test_what_is_missing_is_said_at_opening(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)

    with pytest.raises(IncompleteSlideError, match=said):
        open_slide(tmp_path / name)


def test_a_cut_file_says_how_many_bytes_it_needs(tmp_path):
    path = tmp_path / "s.tif"
    tifffile.imwrite(path, RGB, byteorder=">", photometric="rgb", **TILED, **SCALE)
    path.write_bytes(path.read_bytes()[:60_000])

    with pytest.raises(IncompleteSlideError, match="needs at least"):
        open_slide(path)


def test_a_qptiff_is_read_without_its_label_and_thumbnail(tmp_path):
    root = "PerkinElmer-QPI-ImageDescription"
    kind = f"<{root}><ImageType>{{}}</ImageType></{root}>"
    parts = {
        "FullResolution": RGB,
        "Thumbnail": RGB[::4, ::4],
        "ReducedResolution": RGB[::2, ::2],
        "Label": RGB[:50, :50],
    }
    with tifffile.TiffWriter(tmp_path / "s.qptiff") as file:
        for name, pixels in parts.items():
            file.write(
                pixels, photometric="rgb", description=kind.format(name),
                software="PerkinElmer-QPI",
                subfiletype=int(name == "ReducedResolution"), **TILED, **SCALE,
            )  # fmt: skip

    found, info = pixels_of(tmp_path / "s.qptiff")

    assert np.array_equal(found, expected())
    assert info.level_sizes == ((WIDTH, HEIGHT), (WIDTH // 2, HEIGHT // 2))


def test_a_format_that_is_not_read_says_how_to_convert_it(tmp_path):
    path = tmp_path / "s.vsi"
    path.write_bytes(bytes(2000))

    with pytest.raises(UnreadableSlideError, match="bfconvert"):
        open_slide(path)


def test_every_format_that_is_read_is_looked_for_and_listed():
    listed = CliRunner().invoke(command, ["formats"]).output

    assert {".svs", ".ndpi", ".mrxs", ".dcm", ".czi", ".qptiff", ".tif"} <= SLIDE_SUFFIXES
    assert not {".zarr", ".isyntax", ".vsi"} & SLIDE_SUFFIXES
    for kind in FORMATS:
        assert kind.name in listed
        assert kind.reader or kind.remedy
