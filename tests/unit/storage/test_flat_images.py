import numpy as np
import pytest
import scipy.io
import tifffile
from PIL import Image

from hoverfast_platform.errors import LabelError, UnreadableSlideError
from hoverfast_platform.storage.flat_images import (
    read_flat_image,
    read_instance_map,
    read_rgb,
)

IDS = np.array([[0, 1, 300], [70_000, 0, 2]])


def saved(path, pixels):
    if path.suffix == ".npy":
        np.save(path, pixels)
    elif path.suffix == ".tif":
        tifffile.imwrite(path, pixels)
    else:
        Image.fromarray(pixels).save(path)
    return path


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("x.npy", np.int64),
        ("x.tif", np.int32),
        ("x.tif", np.uint32),
        ("x.png", np.uint16),
        ("x.png", np.uint8),
        ("x.png", bool),
    ],
)
def test_label_images_keep_their_ids(tmp_path, name, dtype):
    limit = 1 if dtype is bool else np.iinfo(dtype).max
    ids = np.minimum(IDS, min(limit, 65_535) if name == "x.png" else limit).astype(dtype)

    read = read_instance_map(saved(tmp_path / name, ids))

    assert read.dtype == np.int32
    np.testing.assert_array_equal(read, ids)


@pytest.mark.parametrize(
    ("name", "pixels", "text"),
    [
        ("x.npy", np.ones((4, 12, 2), np.uint8), "one value per pixel"),
        ("x.npy", np.full((4, 4), 0.5, np.float32), "float32"),
        ("x.npy", np.full((4, 4), -2), "-2"),
        ("x.npy", np.full((4, 4), 2**31, np.uint32), "2147483648"),
    ],
)
def test_what_cannot_be_ids_is_refused(tmp_path, name, pixels, text):
    with pytest.raises(LabelError, match=text):
        read_instance_map(saved(tmp_path / name, pixels))


@pytest.mark.parametrize("name", ["x.png", "x.tif", "x.npy"])
@pytest.mark.parametrize("content", [b"", b"no image"])
def test_unreadable_labels_name_the_file(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)

    with pytest.raises(LabelError, match=name):
        read_instance_map(tmp_path / name)


def test_unreadable_image_names_the_file(tmp_path):
    (tmp_path / "x.png").write_bytes(b"no image")

    with pytest.raises(UnreadableSlideError, match=r"x\.png"):
        read_rgb(tmp_path / "x.png")


def test_alpha_is_composed_on_white(tmp_path):
    rgba = np.array([[[10, 20, 30, 255], [10, 20, 30, 0]]], np.uint8)

    np.testing.assert_array_equal(
        read_rgb(saved(tmp_path / "x.png", rgba)), [[[10, 20, 30], [255, 255, 255]]]
    )


def test_sixteen_bit_colour_tiff_of_either_layout_is_scaled_by_its_range(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    deep = rgb.astype(np.uint16) * 257
    tifffile.imwrite(tmp_path / "pixel.tif", deep, photometric="rgb")
    tifffile.imwrite(
        tmp_path / "plane.tif",
        np.moveaxis(deep, -1, 0),
        photometric="rgb",
        planarconfig="separate",
    )

    assert np.array_equal(read_rgb(tmp_path / "pixel.tif"), rgb)
    assert np.array_equal(read_rgb(tmp_path / "plane.tif"), rgb)


def test_floating_point_pixels_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "float.tif", np.zeros((9, 9), np.float32))

    with pytest.raises(UnreadableSlideError, match="floating point"):
        read_rgb(tmp_path / "float.tif")


def test_truncated_images_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "cut.tif", np.zeros((99, 111, 3), np.uint16), photometric="rgb")
    whole = (tmp_path / "cut.tif").read_bytes()
    (tmp_path / "cut.tif").write_bytes(whole[: len(whole) // 2])

    with pytest.raises(UnreadableSlideError):
        read_rgb(tmp_path / "cut.tif")


MAP = np.zeros((6, 9), dtype=np.int32)
MAP[1:3, 2:5], MAP[4:, 6:] = 7, 300


@pytest.mark.parametrize(
    ("suffix", "pixels"),
    [
        (".npy", MAP.astype(np.float64)),
        (".tif", MAP.astype(np.float32)),
        (".npy", MAP[..., None]),
        (".npy", MAP[None]),
        (".npy", np.where(MAP == 0, -1, MAP)),
        (".npy", np.repeat(MAP[..., None], 3, axis=2)),
    ],
)
def test_ids_are_read_in_the_forms_that_other_tools_give_them(tmp_path, suffix, pixels):
    path = tmp_path / f"x{suffix}"
    if suffix == ".npy":
        np.save(path, pixels)
    else:
        tifffile.imwrite(path, pixels)

    assert np.array_equal(read_instance_map(path), MAP)


@pytest.mark.parametrize("bad", [0.5, np.nan, np.inf, -2.0, 3e9])
def test_values_that_are_not_ids_are_refused(tmp_path, bad):
    pixels = MAP.astype(np.float64)
    pixels[0, 0] = bad
    np.save(tmp_path / "x.npy", pixels)

    with pytest.raises(LabelError, match="export instance ids"):
        read_instance_map(tmp_path / "x.npy")


def test_a_tiff_of_several_images_is_refused_and_one_with_levels_is_not(tmp_path):
    rgb = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
    tifffile.imwrite(tmp_path / "two.tif", np.stack([rgb, rgb]), photometric="rgb")
    with tifffile.TiffWriter(tmp_path / "levels.tif") as file:
        file.write(rgb, photometric="rgb")
        file.write(rgb[::2, ::2], photometric="rgb")

    with pytest.raises(UnreadableSlideError, match="2 images"):
        read_rgb(tmp_path / "two.tif")
    assert np.array_equal(read_rgb(tmp_path / "levels.tif"), rgb)


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize("planes", [(), (3,)])
def test_cameras_of_few_bits_in_sixteen_are_as_bright_as_they_were(tmp_path, bits, planes):
    top = 2**bits - 1
    pixels = np.full((6, 10, *planes), round(0.8 * top), np.uint16)
    pixels[2, 3] = top
    tifffile.imwrite(tmp_path / "x.tif", pixels, photometric="rgb" if planes else "minisblack")

    image = read_flat_image(tmp_path / "x.tif")

    assert image.rgb[0, 0].tolist() == [204] * 3
    assert image.rgb[2, 3].tolist() == [255] * 3
    assert any("values were scaled" in note for note in image.notes) == (bits < 16)


def test_a_grey_image_is_said_to_be_grey(tmp_path):
    Image.fromarray(np.full((6, 9), 100, np.uint8)).save(tmp_path / "grey.png")
    Image.fromarray(np.full((6, 9, 3), (100, 101, 100), np.uint8)).save(tmp_path / "colour.png")

    assert read_flat_image(tmp_path / "grey.png").notes == (
        "It is grey, so its stains cannot be told apart.",
    )
    assert read_flat_image(tmp_path / "colour.png").notes == ()


@pytest.mark.parametrize("dtype", [np.float64, np.int32])
def test_the_instance_map_of_a_matlab_file_is_read(tmp_path, dtype):
    content = {"inst_map": IDS.astype(dtype), "inst_type": np.ones((3, 1))}
    scipy.io.savemat(tmp_path / "x.mat", content, do_compression=True)

    np.testing.assert_array_equal(read_instance_map(tmp_path / "x.mat"), IDS)


def test_label_files_of_other_tools_that_cannot_be_read_say_the_way_out(tmp_path):
    np.save(tmp_path / "x_seg.npy", np.array({"masks": IDS}), allow_pickle=True)
    np.save(tmp_path / "labels.npy", np.zeros((5, 8, 9, 2), np.int32))
    scipy.io.savemat(tmp_path / "x.mat", {"type_map": IDS})
    (tmp_path / "cut.mat").write_bytes((tmp_path / "x.mat").read_bytes()[:90])

    for name, text in [
        ("x_seg.npy", "--save_tif"),
        ("labels.npy", "labels of 5 images, as CoNIC"),
        ("x.mat", "no inst_map; it has type_map"),
        ("cut.mat", "not a readable label image"),
    ]:
        with pytest.raises(LabelError, match=text):
            read_instance_map(tmp_path / name)
