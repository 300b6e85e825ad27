"""Slides made of one image of a file, or of a folder of Zarr: no pixel changes."""

import shutil

import numpy as np
import pytest
import tifffile
import zarr
from click.testing import CliRunner

from hoverfast_platform.cli.slide import command
from hoverfast_platform.errors import MissingMppError, SettingsError, UnreadableSlideError
from hoverfast_platform.geometry import Box
from hoverfast_platform.slide import open_slide
from hoverfast_platform.slide.open import open_scene
from hoverfast_platform.slide.zarr_reader import ZarrReader

RGB = np.random.default_rng(5).integers(0, 256, (1300, 1111, 3), dtype=np.uint8)
SMALL = RGB[:70, :90]
ALL = Box.at_origin(width=90, height=70)


def extracted(source, tmp_path, *options):
    target = tmp_path / "made" / "s.tiff"
    done = CliRunner().invoke(command, ["extract", str(source), str(target), *options])
    assert done.exit_code == 0, (done.output, done.exception)
    return target


def two_scenes(path):
    with tifffile.TiffWriter(path, ome=True) as file:
        for name, pixels in (("tumour", RGB), ("lymph node", SMALL)):
            metadata = {"axes": "YXS", "Name": name, "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.5}
            file.write(pixels, photometric="rgb", metadata=metadata)
    return path


def ome_zarr(path, pixels=SMALL, *, axes="tczyx", version="0.4", unit="micrometer", name="a"):
    order = {"y": 0, "x": 1, "c": 2}
    data = pixels.transpose([order[axis] for axis in axes if axis in order])
    for at, axis in enumerate(axes):
        if axis in "tz":
            data = np.expand_dims(data, at)
    group = zarr.open_group(path, mode="w", zarr_format=2 if version == "0.4" else 3)
    datasets = []
    for level, step in enumerate((1, 2)):
        take = tuple(slice(None, None, step if axis in "yx" else 1) for axis in axes)
        part = np.ascontiguousarray(data[take])
        chunks = tuple(33 if axis in "yx" else 1 for axis in axes)
        array = group.create_array(str(level), shape=part.shape, chunks=chunks, dtype=part.dtype)
        array[...] = part
        scale = [{"y": 0.5, "x": 0.25}.get(axis, 1.0) * (step if axis in "yx" else 1)
                 for axis in axes]  # fmt: skip
        datasets.append(
            {"path": str(level), "coordinateTransformations": [{"type": "scale", "scale": scale}]}
        )
    described = [{"name": a, "unit": unit} if a in "yx" and unit else {"name": a} for a in axes]
    multiscales = [{"version": version, "name": name, "axes": described, "datasets": datasets}]
    if version == "0.4":
        group.attrs["multiscales"] = multiscales
    else:
        group.attrs["ome"] = {"version": version, "multiscales": multiscales}
    return path


def test_a_scene_chosen_by_name_is_a_slide_of_the_same_pixels_and_scale(tmp_path):
    source = two_scenes(tmp_path / "two.ome.tif")

    with open_slide(extracted(source, tmp_path, "--scene", "lymph node")) as made:
        assert np.array_equal(made.read_level(0, ALL), SMALL)
        assert (made.info.mpp.x, made.info.mpp.y) == pytest.approx((0.25, 0.5))


def test_levels_of_half_the_size_are_the_mean_of_four(tmp_path):
    source = two_scenes(tmp_path / "two.ome.tif")

    made = extracted(source, tmp_path, "--scene", "tumour")

    assert np.array_equal(tifffile.imread(made, level=0), RGB)
    four = RGB[:, :1110].reshape(650, 2, 555, 2, 3).mean(axis=(1, 3))
    assert np.abs(tifffile.imread(made, level=1) - four).max() <= 0.5
    with open_slide(made) as reader:
        assert reader.info.level_sizes == ((1111, 1300), (555, 650))
        assert reader.info.vendor == "generic-tiff"


def test_scenes_are_listed_and_one_that_is_not_there_is_refused(tmp_path):
    source = two_scenes(tmp_path / "two.ome.tif")

    done = CliRunner().invoke(command, ["info", str(source)])

    assert "scenes     tumour, lymph node" in done.output
    with pytest.raises(SettingsError, match="tumour, lymph node"):
        open_scene(source, scene="liver")


@pytest.mark.parametrize(
    ("axes", "version"), [("tczyx", "0.4"), ("yxc", "0.5"), ("cyx", "0.5"), ("zyxc", "0.4")]
)
def test_ome_zarr_becomes_a_slide_of_the_same_pixels_and_scale(tmp_path, axes, version):
    source = ome_zarr(tmp_path / "a.zarr", axes=axes, version=version)

    with ZarrReader(source) as reader:
        assert reader.info.level_sizes == ((90, 70), (45, 35))
        half = reader.read_level(1, Box.of(x=5, y=3, width=60, height=20))
        assert np.array_equal(half[:, :40], SMALL[6:46:2, 10:90:2])
        assert (half[:, 40:] == 255).all()
    with open_slide(extracted(source, tmp_path)) as made:
        assert np.array_equal(made.read_level(0, ALL), SMALL)
        assert (made.info.mpp.x, made.info.mpp.y) == pytest.approx((0.25, 0.5))


def test_a_plain_array_needs_its_scale(tmp_path):
    zarr.save_array(tmp_path / "a.zarr", SMALL)

    with pytest.raises(MissingMppError):
        ZarrReader(tmp_path / "a.zarr")
    with open_slide(extracted(tmp_path / "a.zarr", tmp_path, "--mpp", "0.5")) as made:
        assert np.array_equal(made.read_level(0, ALL), SMALL)
        assert made.info.mpp.x == pytest.approx(0.5)


def test_a_scale_without_its_unit_is_not_guessed(tmp_path):
    with pytest.raises(MissingMppError):
        ZarrReader(ome_zarr(tmp_path / "a.zarr", unit=""))


def test_of_a_stack_one_plane_is_chosen(tmp_path):
    source = ome_zarr(tmp_path / "a.zarr", axes="zyxc")
    for name in "01":
        array = zarr.open_array(source / name, mode="r")[...]
        shutil.rmtree(source / name)
        zarr.save_array(source / name, np.concatenate([255 - array, array]), zarr_format=2)

    with pytest.raises(UnreadableSlideError, match="2 planes"):
        ZarrReader(source)
    with ZarrReader(source, z=1) as reader:
        assert np.array_equal(reader.read_level(0, ALL), SMALL)
    with pytest.raises(UnreadableSlideError, match="no plane 2"):
        ZarrReader(source, z=2)


def test_images_of_one_folder_are_scenes(tmp_path):
    for number, name in enumerate(("tumour", "node")):
        ome_zarr(tmp_path / "b.zarr" / str(number), name=name)
    zarr.open_group(tmp_path / "b.zarr", mode="a", zarr_format=2)

    with pytest.raises(UnreadableSlideError, match="tumour, node"):
        ZarrReader(tmp_path / "b.zarr")
    with ZarrReader(tmp_path / "b.zarr", scene="node") as reader:
        assert np.array_equal(reader.read_level(0, ALL), SMALL)


def test_channels_that_are_not_colours_are_refused(tmp_path):
    source = ome_zarr(tmp_path / "a.zarr")
    zarr.open_group(source, mode="r+").attrs["omero"] = {
        "channels": [{"label": "DAPI"}, {"label": "CD3"}, {"label": "CD8"}]
    }

    with pytest.raises(UnreadableSlideError, match="DAPI, CD3"):
        ZarrReader(source)


def test_a_damaged_chunk_and_a_damaged_index_are_our_errors(tmp_path):
    source = ome_zarr(tmp_path / "a.zarr", axes="cyx", version="0.5")
    chunk = next(path for path in source.rglob("c/0/0/0"))
    chunk.write_bytes(b"\xff" * 20)
    with (
        ZarrReader(source) as reader,
        pytest.raises(UnreadableSlideError, match="a level of 90x70 px cannot"),
    ):
        reader.read_level(0, ALL)

    (source / "zarr.json").write_text("{")
    with pytest.raises(UnreadableSlideError, match="not a readable Zarr"):
        ZarrReader(source)


def test_a_folder_of_zarr_given_as_a_slide_names_the_command(tmp_path):
    with pytest.raises(UnreadableSlideError, match="hoverfast slide extract"):
        open_slide(ome_zarr(tmp_path / "a.zarr"))


def test_a_target_that_is_there_is_never_overwritten(tmp_path):
    source = two_scenes(tmp_path / "two.ome.tif")

    done = CliRunner().invoke(command, ["extract", str(source), str(source), "--scene", "tumour"])

    assert isinstance(done.exception, SettingsError)


def test_a_source_that_is_damaged_is_not_taken_for_a_full_disk(tmp_path):
    source = ome_zarr(tmp_path / "a.zarr", axes="cyx", version="0.5")
    next(path for path in source.rglob("c/0/0/0")).write_bytes(b"\xff" * 20)

    done = CliRunner().invoke(command, ["extract", str(source), str(tmp_path / "made/s.tiff")])

    assert isinstance(done.exception, UnreadableSlideError)
    assert list((tmp_path / "made").iterdir()) == []
