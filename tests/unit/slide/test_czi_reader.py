"""CZI of several planes, scenes and dimensions: the same pixels and scale, or one clear line."""

import multiprocessing
import os
import struct
import sys
import threading
from multiprocessing.connection import Connection
from types import SimpleNamespace

import numpy as np
import openslide
import pytest
from click.testing import CliRunner

from hoverfast_platform.cli.slide import command
from hoverfast_platform.errors import (
    MissingMppError,
    SettingsError,
    UnreadableSlideError,
    UnsupportedScaleError,
)
from hoverfast_platform.geometry import Box
from hoverfast_platform.slide import czi_process, open_slide
from hoverfast_platform.slide.open import open_scene

czi = pytest.importorskip("pylibCZIrw.czi", reason="the extra czi is not installed")
native = pytest.importorskip("_pylibCZIrw")

RGB = np.random.default_rng(5).integers(0, 256, (70, 90, 3), dtype=np.uint8)
RGB[..., 0] |= 128  # red is told from blue
RGB[..., 2] &= 127
OTHER = RGB[:50, :40]
ALL = Box.at_origin(width=90, height=70)
METADATA_AT, ATTACHMENTS_AT = 92, 104
METRES = {"scale_x": 0.25e-6, "scale_y": 0.5e-6}


class InAThread(threading.Thread):
    """Stands for a process, which takes a second to start."""

    def __init__(self, target, args, daemon):
        theirs, path = args
        self._end = Connection(os.dup(theirs.fileno()))  # the caller closes its own
        super().__init__(target=target, args=(self._end, path), daemon=daemon)

    def close(self):
        assert not self.is_alive()
        self._end.close()


@pytest.fixture(autouse=True)
def few_processes(request, monkeypatch):
    """libCZI in a thread, but where a test is about its process."""
    if "own_process" not in request.node.name:
        context = SimpleNamespace(Pipe=multiprocessing.Pipe, Process=InAThread)
        monkeypatch.setattr(czi_process, "get_context", lambda _how: context)


def made(path, tiles, *, scale=METRES, compression=None):
    """A CZI of (pixels, location, plane, scene)."""
    with czi.create_czi(str(path), compression_options=compression) as file:
        for pixels, location, plane, scene in tiles:
            pixels = pixels[..., ::-1] if pixels.ndim == 3 else pixels
            assert file.write(pixels, location=location, plane=plane, scene=scene)
        file.write_metadata("made", **scale)
    return path


def stack(path, **how):
    """Planes 0, 1 and 2 in two tiles each, below and left of the origin of the file."""
    tiles = []
    for z in range(3):
        tiles.append((RGB[:, :50] // (z + 1), (-20, 7), {"Z": z}, 0))
        tiles.append((RGB[:, 50:] // (z + 1), (30, 7), {"Z": z}, 0))
    return made(path, tiles, **how)


def segment(name, data):
    """A part of a CZI: name, bytes that it has and uses, content."""
    return name.ljust(16, b"\0") + struct.pack("<QQ", len(data), len(data)) + data


def with_segment(path, at, part):
    """The file with a further part at its end, to which its header points from byte ``at``."""
    content = bytearray(path.read_bytes())
    content[at : at + 8] = struct.pack("<Q", len(content))
    path.write_bytes(content + part)
    return path


def with_xml(path, old, new):
    """The file with another text about itself."""
    content = path.read_bytes()
    (start,) = struct.unpack_from("<Q", content, METADATA_AT)
    (size,) = struct.unpack_from("<I", content, start + 32)
    xml = content[start + 288 : start + 288 + size]
    assert xml.count(old) == 1
    xml = xml.replace(old, new)
    part = segment(b"ZISRAWMETADATA", struct.pack("<II248x", len(xml), 0) + xml)
    return with_segment(path, METADATA_AT, part)


def with_named_scenes(path, *names):
    scenes = "".join(f'<Scene Index="{i}" Name="{name}"/>' for i, name in enumerate(names))
    named = f"<Dimensions><S><Scenes>{scenes}</Scenes></S>"
    return with_xml(path, b"<Dimensions>", named.encode())


def extracted(source, tmp_path, *options):
    target = tmp_path / "made" / "s.tiff"
    done = CliRunner().invoke(command, ["extract", str(source), str(target), *options])
    assert done.exit_code == 0, (done.output, done.exception)
    return target


def test_libczi_in_its_own_process_reads_the_same_and_ends(tmp_path):
    source = stack(tmp_path / "a.czi")

    with open_slide(extracted(source, tmp_path, "--z", "2")) as slide:
        assert np.array_equal(slide.read_level(0, ALL), RGB // 3)
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("compression", [None, "zstd1:ExplicitLevel=2", "zstd0:"])
def test_a_plane_of_a_stack_is_a_slide_of_the_same_pixels_and_scale(tmp_path, compression):
    source = stack(tmp_path / "a.czi", compression=compression)

    with open_slide(extracted(source, tmp_path, "--z", "1")) as slide:
        assert np.array_equal(slide.read_level(0, ALL), RGB // 2)
        assert (slide.info.mpp.x, slide.info.mpp.y) == pytest.approx((0.25, 0.5))


def test_a_region_beyond_the_plane_is_white_there(tmp_path):
    with open_scene(stack(tmp_path / "a.czi"), z=0) as slide:
        found = slide.read_level(0, Box.of(x=80, y=-3, width=20, height=13))

    assert np.array_equal(found[3:, :10], RGB[:10, 80:])
    assert (found[:3] == 255).all()
    assert (found[:, 10:] == 255).all()


def test_what_was_not_scanned_is_white(tmp_path):
    tiles = [(OTHER, (0, 0), {}, 0), (OTHER, (100, 30), {}, 0)]

    with open_scene(made(tmp_path / "a.czi", tiles)) as slide:
        found = slide.read_level(0, Box.at_origin(width=140, height=80))

    assert np.array_equal(found[30:, 100:], OTHER)
    assert (found[:, 40:100] == 255).all()
    assert (found[50:, :40] == 255).all()


def test_a_stack_is_refused_until_a_plane_is_chosen_and_names_those_it_has(tmp_path):
    source = stack(tmp_path / "a.czi")

    with pytest.raises(UnreadableSlideError, match=r"stack of 3 planes: 0 to 2.*--z 1"):
        open_scene(source)
    with pytest.raises(UnreadableSlideError, match=r"no plane 7; it has 0 to 2"):
        open_scene(source, z=7)


def test_planes_have_the_numbers_of_the_file(tmp_path):
    source = made(tmp_path / "a.czi", [(RGB // z, (0, 0), {"Z": z}, 0) for z in (3, 5)])

    with open_scene(source, z=5) as slide:
        assert np.array_equal(slide.read_level(0, ALL), RGB // 5)
    for z in (0, 4):
        with pytest.raises(UnreadableSlideError, match=f"no plane {z}; it has 3, 5"):
            open_scene(source, z=z)


def test_scenes_are_chosen_by_name_or_number_and_never_by_chance(tmp_path):
    tiles = [(RGB, (0, 0), {"Z": 0}, 0), (OTHER, (200, 20), {"Z": 0}, 1)]
    source = with_named_scenes(made(tmp_path / "a.czi", tiles), "liver", "node")

    with pytest.raises(UnreadableSlideError, match=r"2 scenes: liver, node\. Choose one"):
        open_scene(source)
    with pytest.raises(SettingsError, match=r"no scene 'lung'; it has liver, node"):
        open_scene(source, scene="lung")
    for scene in ("node", "2"):
        with open_scene(source, scene=scene) as slide:
            assert np.array_equal(slide.read_level(0, Box.at_origin(width=40, height=50)), OTHER)
            assert (slide.info.width, slide.info.height) == (40, 50)


def test_scenes_without_names_have_numbers_and_may_leave_some_out(tmp_path):
    tiles = [(RGB, (0, 0), {"Z": 0}, 0), (OTHER, (200, 20), {"Z": 2}, 4)]
    source = made(tmp_path / "a.czi", tiles)

    with open_scene(source, scene="2") as slide:
        assert np.array_equal(slide.read_level(0, Box.at_origin(width=40, height=50)), OTHER)
    with pytest.raises(UnreadableSlideError, match="no plane 0; it has 2"):
        open_scene(source, scene="2", z=0)


@pytest.mark.parametrize(("n_values", "is_read"), [(1, True), (2, False)])
def test_a_further_dimension_is_read_where_it_has_one_value(tmp_path, n_values, is_read):
    path = tmp_path / "a.czi"
    with czi.create_czi(str(path)) as file:
        for phase in range(n_values):
            tile = file._format_data(np.ascontiguousarray(RGB[..., ::-1]))
            plane = f"T0 Z0 C0 S0 H{phase} B0"
            assert file._czi_writer.AddTile(plane, tile, 0, 0, 0, "")
        file.write_metadata("made", **METRES)

    with pytest.raises(openslide.OpenSlideError):
        openslide.OpenSlide(path)
    if is_read:
        with open_scene(path) as slide:
            assert np.array_equal(slide.read_level(0, ALL), RGB)
    else:
        with pytest.raises(UnreadableSlideError, match=r"2 phases \(H\)"):
            open_scene(path)


@pytest.mark.parametrize("dimension", ["C", "T"])
def test_fluorescence_and_time_series_are_refused(tmp_path, dimension):
    tiles = [(RGB[..., 0], (0, 0), {dimension: i}, 0) for i in range(3)]

    with pytest.raises(UnreadableSlideError, match=rf"has 3 .* \({dimension}\)"):
        open_scene(made(tmp_path / "a.czi", tiles))


@pytest.mark.parametrize(("brightest", "white"), [(4095, 4095), (65535, 65535)])
def test_sixteen_bits_become_eight_by_the_range_that_holds_them(tmp_path, brightest, white):
    deep = (RGB.astype(np.uint16) * brightest) // 255
    deep[0, 0] = brightest
    source = made(tmp_path / "a.czi", [(deep, (0, 0), {"Z": z}, 0) for z in range(2)])

    with open_scene(source, z=1) as slide:
        found = slide.read_level(0, ALL)
        notes = " ".join(slide.info.notes)

    assert np.abs(found.astype(int) - np.round(deep / white * 255)).max() <= 1
    assert f"{white} is white" in notes


def test_grey_is_read_and_said(tmp_path):
    source = made(tmp_path / "a.czi", [(RGB[..., 0], (0, 0), {"Z": z}, 0) for z in range(2)])

    with open_scene(source, z=1) as slide:
        assert np.array_equal(slide.read_level(0, ALL), np.repeat(RGB[..., :1], 3, axis=2))
        assert "grey" in slide.info.notes[0]


@pytest.mark.parametrize(
    ("scale", "error"),
    [
        ({}, MissingMppError),
        ({"scale_x": 0.25, "scale_y": 0.25}, UnsupportedScaleError),  # micrometres, not metres
    ],
)
def test_a_scale_that_is_missing_or_not_in_metres_is_not_guessed(tmp_path, scale, error):
    source = stack(tmp_path / "a.czi", scale=scale)

    with pytest.raises(error, match="--mpp"):
        open_scene(source, z=0)
    with open_scene(source, z=0, mpp_override=0.25) as slide:
        assert slide.info.mpp.x == 0.25


@pytest.mark.parametrize(("unit", "is_read"), [("µm", True), ("nm", True), ("Pixel", False)])
def test_a_scale_shown_in_something_that_is_not_a_length_is_not_one(tmp_path, unit, is_read):
    source = stack(tmp_path / "a.czi", scale={"scale_x": 0.25e-6, "scale_y": 0.25e-6})
    shown = f'<DefaultUnitFormat>{unit}</DefaultUnitFormat></Distance><Distance Id="Y">'.encode()
    source = with_xml(source, b'</Distance><Distance Id="Y">', shown)

    if is_read:
        with open_scene(source, z=0) as slide:
            assert slide.info.mpp.x == pytest.approx(0.25)  # always metres, however they are shown
    else:
        with pytest.raises(MissingMppError, match=r"2.5e-07 Pixel"):
            open_scene(source, z=0)


def test_the_file_says_how_many_bits_its_pixels_have(tmp_path):
    deep = RGB.astype(np.uint16) * 4
    source = made(tmp_path / "a.czi", [(deep, (0, 0), {"Z": z}, 0) for z in range(2)])
    bits = b"<ComponentBitCount>14</ComponentBitCount>"
    source = with_xml(source, b"<Dimensions>", bits + b"<Dimensions>")

    with open_scene(source, z=1) as slide:
        assert slide.info.notes == ("Its values were scaled: 16383 is white.",)
        assert np.abs(slide.read_level(0, ALL) - deep / 16383 * 255).max() <= 0.5


def test_pixels_and_scale_are_those_that_openslide_reads_of_one_plane(tmp_path):
    path = tmp_path / "a.czi"
    with czi.create_czi(str(path), compression_options="zstd0:") as file:
        tile = file._format_data(np.ascontiguousarray(RGB[..., ::-1]))
        assert file._czi_writer.AddTile("C0 S0", tile, 10, 20, 0, "")
        file.write_metadata("made", **METRES)
    with_segment(path, ATTACHMENTS_AT, segment(b"ZISRAWATTDIR", bytes(256)))

    with open_slide(path) as theirs, open_scene(path) as ours:
        assert theirs.info.vendor == ours.info.vendor == "zeiss"
        assert np.array_equal(theirs.read_level(0, ALL), RGB)
        assert np.array_equal(ours.read_level(0, ALL), RGB)
        assert ours.info.mpp == theirs.info.mpp


def test_a_stack_given_as_a_slide_names_the_command(tmp_path):
    with pytest.raises(UnreadableSlideError, match=r"hoverfast slide extract FILE\.czi .* --z"):
        open_slide(stack(tmp_path / "a.czi"))


def test_a_cut_file_and_a_damaged_tile_are_our_errors(tmp_path):
    source = stack(tmp_path / "a.czi", compression="zstd0:")
    whole = bytearray(source.read_bytes())
    cut = tmp_path / "cut.czi"
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UnreadableSlideError, match=r"cut\.czi is not a readable CZI"):
        open_scene(cut, z=0)

    tile = whole.index(b"\x28\xb5\x2f\xfd")  # how zstd begins
    whole[tile + 4 : tile + 40] = b"\xff" * 36
    source.write_bytes(whole)
    with open_scene(source, z=0) as slide, pytest.raises(UnreadableSlideError, match="damaged"):
        slide.read_level(0, ALL)


def test_a_file_that_ends_libczi_in_its_own_process_is_our_error(tmp_path):
    source = made(tmp_path / "a.czi", [(RGB[:12, :15], (0, 0), {"Z": z}, 0) for z in range(2)])
    whole = source.read_bytes()
    entry = whole.index(b"ZISRAWDIRECTORY") + 184
    source.write_bytes(whole[:entry] + b"\xff" * 118 + whole[entry:])

    with pytest.raises(UnreadableSlideError, match="libCZI ended its process on it"):
        open_scene(source, z=0)


def test_the_process_ends_quietly_when_who_asked_was_killed(tmp_path):
    ours, theirs = multiprocessing.Pipe()
    ours.send(None)
    ours.close()

    czi_process._answer(theirs, str(stack(tmp_path / "a.czi")))


def test_tiles_of_a_size_that_no_memory_holds_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("hoverfast_platform.slide.reader._MAX_TILE_BYTES", 1000)

    with pytest.raises(UnreadableSlideError, match="MiB"):
        open_scene(stack(tmp_path / "a.czi"), z=0)


def test_places_far_apart_are_not_taken_for_a_slide_of_billions_of_pixels(tmp_path):
    tiles = [(OTHER, (0, 0), {}, 0), (OTHER, (2**20, 2**20), {}, 0)]

    with pytest.raises(UnreadableSlideError, match="too few"):
        open_scene(made(tmp_path / "a.czi", tiles))


def test_without_the_library_one_line_says_what_to_install(tmp_path, monkeypatch):
    source = stack(tmp_path / "a.czi")
    monkeypatch.setitem(sys.modules, "pylibCZIrw", None)

    with pytest.raises(SettingsError, match=r"pip install 'hoverfast-platform\[czi\]'"):
        open_scene(source, z=0)
