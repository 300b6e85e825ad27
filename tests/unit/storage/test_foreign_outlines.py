"""GeoJSON of any tool: which objects are nuclei, and in which forms a file may come."""

import gzip
import json

import numpy as np
import pytest

from hoverfast_platform.errors import StorageError
from hoverfast_platform.storage.foreign_outlines import read_outlines

MPP = 0.25
SIZE = (640, 480)


def ring(x, y, side=30.0):
    return [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]


def feature(coordinates, kind="Polygon", *, id=None, **properties):
    made = {"type": "Feature", "geometry": {"type": kind, "coordinates": coordinates}}
    return {**made, "properties": properties, **({"id": id} if id else {})}


NUCLEI = [feature([ring(40 + 60 * i, 50 + 40 * j)]) for i in range(5) for j in range(3)]
AROUND = feature([[[0, 0], [400, 0], [400, 300], [0, 300], [0, 0]]], objectType="annotation")


def text_of(features, **more):
    return json.dumps({"type": "FeatureCollection", "features": features, **more})


def written(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    "content",
    [
        text_of(NUCLEI),
        json.dumps(NUCLEI),
        json.dumps(NUCLEI, indent=1),
        "\n".join(json.dumps(one) for one in NUCLEI),
        "\n".join("\x1e" + json.dumps(one) for one in NUCLEI) + "\n",
        text_of(NUCLEI).encode("utf-8-sig"),
        text_of(NUCLEI).encode("utf-16"),
        text_of(NUCLEI).encode("utf-16-be"),
        text_of(NUCLEI, name="Größe").encode("utf-32"),
        gzip.compress(text_of(NUCLEI).encode(), mtime=0),
        gzip.compress(text_of(NUCLEI).encode("utf-16"), mtime=0),
        json.dumps(
            {"type": "MultiPolygon", "coordinates": [f["geometry"]["coordinates"] for f in NUCLEI]}
        ),
        json.dumps(
            {"type": "GeometryCollection", "geometries": [f["geometry"] for f in NUCLEI]}
        ),
    ],
)  # fmt: skip
def test_a_file_of_any_form_has_the_same_nuclei(tmp_path, content):
    found = read_outlines(written(tmp_path / "t.geojson", content))

    assert len(found) == 15
    assert found.notes() == ()
    assert found.polygons[3].exterior.coords[2] == (130, 80)


@pytest.mark.parametrize("kind", [{}, [], None, 3])
def test_a_type_that_is_not_a_name_is_our_error(tmp_path, kind):
    with pytest.raises(StorageError, match="no list of features"):
        read_outlines(written(tmp_path / "t.geojson", json.dumps({"type": kind})))


def test_one_feature_alone_is_a_file(tmp_path):
    assert len(read_outlines(written(tmp_path / "t.geojson", json.dumps(NUCLEI[0])))) == 1


def test_third_coordinates_are_ignored(tmp_path):
    solid = [[[*xy, 4.0] for xy in ring(10, 20)]]

    found = read_outlines(written(tmp_path / "t.geojson", text_of([feature(solid)])))

    assert found.polygons[0].equals(read_outlines_of(tmp_path, [feature([ring(10, 20)])])[0])


def read_outlines_of(tmp_path, features):
    return read_outlines(written(tmp_path / "other.geojson", text_of(features))).polygons


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (feature([ring(0, 0, 64)], objectType="tile"), "1 tile"),
        (feature([ring(0, 0, 64)], id="PathTileObject"), "1 tile"),
        (feature([ring(0, 0, 64)], objectType="root"), "1 root object"),
        (feature([ring(0, 0, 64)], objectType="tmaCore"), "1 TMA core"),
        (feature([3, 4], "Point"), "1 point"),
        (feature([[3, 4], [5, 6]], "LineString"), "1 line"),
        (feature([ring(3, 4)], classification={"name": "Ignore*"}), "class that QuPath ignores"),
        ({"type": "Feature", "geometry": None, "properties": None}, "1 object without a shape"),
        (feature([]), "1 empty outline"),
        (feature([[]]), "1 empty outline"),
        (feature([], "MultiPolygon"), "1 empty outline"),
        (feature([ring(float("nan"), 3)]), "1 outline with impossible coordinates"),
        (feature([ring(1e300, 3)]), "1 outline with impossible coordinates"),
        (AROUND, "1 outline larger than 3,000 um2"),
    ],
)
@pytest.mark.parametrize("position", [0, 15])
def test_what_is_not_a_nucleus_is_left_out_and_counted(tmp_path, extra, said, position):
    features = [*NUCLEI[:position], extra, *NUCLEI[position:]]

    path = written(tmp_path / "t.geojson", text_of(features))
    found = read_outlines(path).without_regions(MPP**2)

    assert len(found) == 15
    (note,) = found.notes()
    assert said in note
    assert "15 nuclei read" in note


def test_an_annotation_around_nuclei_is_recognised_without_a_scale(tmp_path):
    path = written(tmp_path / "t.geojson", text_of([*NUCLEI, AROUND]))

    found = read_outlines(path).without_regions(None)

    assert len(found) == 15
    assert "1 annotation around nuclei" in found.notes()[0]


def test_a_large_nucleus_beside_others_is_a_nucleus(tmp_path):
    large = feature([ring(300, 300, 150)])

    path = written(tmp_path / "t.geojson", text_of([*NUCLEI, large]))

    assert len(read_outlines(path).without_regions(MPP**2)) == 16


def test_a_file_of_nothing_but_points_is_refused(tmp_path):
    path = written(tmp_path / "t.geojson", text_of([feature([3, 4], "Point")] * 2))

    with pytest.raises(StorageError, match=r"no nucleus: 2 points"):
        read_outlines(path).refuse_if_none()


def test_coordinates_in_micrometres_are_noticed(tmp_path):
    in_um = [feature((np.array(one["geometry"]["coordinates"]) * MPP).tolist()) for one in NUCLEI]
    path = written(tmp_path / "t.geojson", text_of(in_um))

    assert "micrometres" in read_outlines(path).misfit(MPP, SIZE)


def test_coordinates_of_another_image_are_noticed(tmp_path):
    path = written(tmp_path / "t.geojson", text_of(NUCLEI))

    assert read_outlines(path).misfit(MPP, SIZE) == ""
    assert "outside the image of 64x48 px" in read_outlines(path).misfit(MPP, (64, 48))


def test_some_outlines_outside_the_image_are_counted(tmp_path):
    path = written(tmp_path / "t.geojson", text_of([*NUCLEI, feature([ring(-50, 10)])]))

    assert "1 outline outside the image" in read_outlines(path).without_outside(SIZE).notes()[0]


SECRET = "Patient Erika Mustermann"


@pytest.mark.parametrize(
    "content",
    [
        f'{{"{SECRET}": '.encode(),
        f"ä {SECRET}".encode("latin-1"),
        f"{SECRET},1\n2,3".encode(),
        f'{{"features": [{{"geometry": "{SECRET}"}}]}}'.encode(),
        text_of([feature([[[SECRET, 2], [3, 4], [5, 6]]])]).encode(),
        text_of([feature(SECRET)]).encode(),
        text_of([SECRET]).encode(),
        f'"{SECRET}"'.encode(),
        b"PK\x03\x04" + SECRET.encode(),
        b"\x1f\x8b" + SECRET.encode(),
        gzip.compress(SECRET.encode() * 50, mtime=0)[:-12],
        b"",
        b"[" * 100_000,
        b'{"features":' * 50_000,
        b'{"features": [' + b"9" * 6000 + b"]}",
    ],
)
def test_what_cannot_be_read_is_refused_in_short_without_its_content(tmp_path, content):
    path = written(tmp_path / "t.geojson", content)

    with pytest.raises(StorageError) as caught:
        read_outlines(path)

    assert "Erika" not in str(caught.value)
    assert len(str(caught.value)) < 300 + len(str(path))


def test_coco_hovernet_and_labelme_files_are_read(tmp_path):
    flat = [[10, 20, 40, 20, 40, 50, 10, 50]]
    coco = {
        "images": [{"id": 1}],
        "annotations": [{"segmentation": flat, "category_id": 2}],
        "categories": [{"id": 2, "name": "lymphocyte"}],
    }
    hovernet = {"mag": 40, "nuc": {"1": {"contour": ring(10, 20)[:-1]}}}
    labelme = {"shapes": [{"points": ring(10, 20)[:-1], "shape_type": "polygon", "label": "a"}]}

    for name, content in (("c", coco), ("h", hovernet), ("l", labelme)):
        found = read_outlines(written(tmp_path / f"{name}.json", json.dumps(content)))
        assert [polygon.area for polygon in found.polygons] == [900], name
    assert read_outlines(tmp_path / "c.json").class_names[0] == "lymphocyte"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": [{}, {}]}, "2 images"),
        ({"annotations": [{"segmentation": {"counts": "x"}}]}, "run lengths"),
        ({"annotations": [{"bbox": [1, 2, 3, 4]}]}, "no outline"),
    ],
)
def test_coco_files_that_leave_a_guess_are_refused(tmp_path, change, message):
    content = {"images": [{}], "annotations": [], **change}

    with pytest.raises(StorageError, match=message):
        read_outlines(written(tmp_path / "c.json", json.dumps(content)))
