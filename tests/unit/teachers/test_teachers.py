"""Teachers: an image in, an instance map out."""

import gzip
import json

import numpy as np
import pytest
from PIL import Image

from hoverfast_platform.config import Compute
from hoverfast_platform.errors import LabelError, SettingsError
from hoverfast_platform.evaluation.metrics import score
from hoverfast_platform.hv.decode import border_steepness
from hoverfast_platform.hv.encode import encode_hv_maps
from hoverfast_platform.model.checkpoint import load_model
from hoverfast_platform.teachers.annotations import AnnotationsTeacher
from hoverfast_platform.teachers.classical import ClassicalTeacher
from hoverfast_platform.teachers.students import StudentsTeacher, turn_image, turn_maps_back
from hoverfast_platform.teachers.teacher import TileImage


def _tissue(n=12, shape=(192, 256), seed=0):
    """Blue discs on pink, and their instance map."""
    rng = np.random.default_rng(seed)
    y, x = np.ogrid[: shape[0], : shape[1]]
    label = np.zeros(shape, dtype=np.int32)
    for number in range(1, n + 1):
        cy, cx = 30 + 64 * ((number - 1) // 4), 30 + 64 * ((number - 1) % 4)
        label[(y - cy) ** 2 + (x - cx) ** 2 < rng.integers(9, 14) ** 2] = number
    rgb = np.where(label[..., None] > 0, (80, 60, 140), (230, 190, 215))
    return np.clip(rgb + rng.normal(0, 4, rgb.shape), 0, 255).astype(np.uint8), label


def _tile(rgb, path="image.png", **where):
    from pathlib import Path

    return TileImage(rgb, 0.25, Path(path), **where)


def test_classical_finds_dark_discs():
    rgb, label = _tissue()

    found = ClassicalTeacher().label(_tile(rgb))

    assert score(label, found, mpp=0.25).f1 == 1


@pytest.mark.parametrize("colour", [(255, 255, 255), (230, 190, 215), (0, 0, 0)])
def test_classical_finds_nothing_where_nothing_is(colour):
    rgb = np.full((48, 64, 3), colour, dtype=np.uint8)

    assert not ClassicalTeacher().label(_tile(rgb)).any()


def test_every_view_turned_back_is_the_image_again():
    _, label = _tissue()
    label[40:60, 10:80] = 99  # nothing symmetric
    maps = decodable(label)

    for i in range(8):
        view = (bool(i & 4), bool(i & 2), bool(i & 1))
        seen = turn_image(np.repeat(label[..., None], 3, axis=2), view)[..., 0]

        turned = turn_maps_back(decodable(seen), view)

        np.testing.assert_array_equal(turned[0], maps[0])
        # a rounded centre of mass is not mirrored to the pixel
        assert np.abs(turned[1] - maps[1]).mean() < 0.01


def decodable(label):
    steepness = border_steepness(*encode_hv_maps(label).astype(np.float32))
    return np.stack([label > 0, steepness]).astype(np.float32)


def test_average_of_views_does_not_depend_on_how_the_image_lies():
    """The shipped model does not adapt: what one adapts to is the image as it lies."""
    rgb, _ = _tissue(n=4, shape=(64, 256))
    teacher = StudentsTeacher([load_model("cross-organ")], Compute(device="cpu"))

    maps = teacher.predict_maps(rgb)
    of_turned = teacher.predict_maps(np.ascontiguousarray(turn_image(rgb, (True, False, True))))

    np.testing.assert_allclose(turn_maps_back(of_turned, (True, False, True)), maps, atol=2e-3)
    assert teacher.label(_tile(rgb)).max() > 0


def test_a_deeper_network_labels_an_image_of_any_size():
    rgb, _ = _tissue(n=4, shape=(60, 203))
    teacher = StudentsTeacher(
        [load_model("cross-organ"), load_model("cross-organ-lean")], Compute(device="cpu")
    )

    assert teacher.predict_maps(rgb).shape == (2, 60, 203)


def test_students_must_have_one_mpp():
    with pytest.raises(SettingsError):
        StudentsTeacher([])


def test_label_images_of_all_kinds(tmp_path):
    rgb, label = _tissue()
    import tifffile

    Image.fromarray(label.astype(np.uint16)).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "b.tif", label)
    np.save(tmp_path / "c.npy", label)
    teacher = AnnotationsTeacher(tmp_path, licence="CC0-1.0")

    for name in ("a.png", "b.svs", "c.jpg"):
        np.testing.assert_array_equal(teacher.label(_tile(rgb, name)), label)
    assert teacher.describe().licence == "CC0-1.0"
    assert len(teacher.describe().digest) == 64


def test_labels_follow_their_image_to_another_scale(tmp_path):
    _, label = _tissue()
    np.save(tmp_path / "a.npy", label)

    tile = _tile(np.zeros((96, 128, 3), np.uint8), "a.png", scale_x=2.0, scale_y=2.0)
    small = AnnotationsTeacher(tmp_path).label(tile)

    np.testing.assert_array_equal(small, label[1::2, 1::2])


@pytest.mark.parametrize("suffix", [".geojson", ".json.gz"])
def test_qupath_polygons_are_painted_where_they_lie(tmp_path, suffix):
    def feature(x, y, kind, **more):
        ring = [[x, y], [x + 40, y], [x + 40, y + 20], [x, y + 20], [x, y]]
        coordinates = [ring] if kind == "Polygon" else [[ring]]
        return {"type": "Feature", "geometry": {"type": kind, "coordinates": coordinates}, **more}

    features = [feature(200, 100, "Polygon"), feature(300, 100, "MultiPolygon")]
    features.append(feature(9000, 100, "Polygon"))
    text = json.dumps({"type": "FeatureCollection", "features": features})
    path = tmp_path / f"slide{suffix}"
    path.write_bytes(gzip.compress(text.encode()) if suffix.endswith("gz") else text.encode())

    # 0.5 tile pixels per level-0 pixel, tile from (80, 40) on
    tile = _tile(
        np.zeros((40, 90, 3), np.uint8), "slide.svs", x0_px=80, y0_px=40, scale_x=2, scale_y=2
    )
    labels = AnnotationsTeacher(tmp_path).label(tile)

    expected = np.zeros((40, 90), dtype=bool)
    expected[10:20, 20:40] = True
    expected[10:20, 70:90] = True
    assert labels.max() == 2
    agreement = (labels > 0) & expected
    assert agreement.sum() / ((labels > 0) | expected).sum() > 0.85


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.geojson", b"{", "not whole, readable JSON"),
        ("a.geojson", b'{"features": [{"geometry": {"type": "Point", "coordinates": [1, 2]}}]}',
         "no nucleus: 1 point"),
        ("a.json.gz", b"not gzip", "not whole, readable JSON"),
        ("a.png", b"not png", "not a readable label image"),
        ("b.png", b"", "0 label files"),
    ],
)  # fmt: skip
def test_bad_labels_are_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)

    with pytest.raises(LabelError, match=message):
        AnnotationsTeacher(tmp_path).label(_tile(np.zeros((8, 12, 3), np.uint8), "a.png"))


def test_label_smaller_than_its_image_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((40, 64), dtype=np.int32))

    with pytest.raises(LabelError, match="64x40 px"):
        AnnotationsTeacher(tmp_path).label(_tile(np.zeros((48, 64, 3), np.uint8), "a.png"))
