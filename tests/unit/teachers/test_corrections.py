"""A result, edited as QuPath writes it, to labelled images and back into a training set."""

import csv
import json
import uuid
import zipfile

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner
from PIL import Image

from hoverfast_platform.cli.corrections import command
from hoverfast_platform.errors import LabelError
from hoverfast_platform.teachers.corrections import Review, import_review


def square(x, y, side=20):
    return [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]


def feature(ring, *, identity=None, kind="detection", name="Nucleus"):
    properties = {"objectType": kind}
    if name:
        properties["classification"] = {"name": name, "color": [1, 2, 3]}
    return {
        "type": "Feature",
        "id": str(uuid.UUID(int=identity)) if identity else str(uuid.uuid4()),
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": properties,
    }


def reviewed(x, y, width, height):
    ring = [[x, y], [x + width, y], [x + width, y + height], [x, y + height], [x, y]]
    return feature(ring, kind="annotation", name="Reviewed")


def export(path, features):
    collection = {"type": "FeatureCollection", "provenance": {}, "features": features}
    path.write_text(json.dumps(collection), encoding="utf-8")
    return path


@pytest.fixture
def slide(tmp_path):
    """800 x 720 px at 0.25 um, every pixel its own colour, so that crops can be told."""
    y, x = np.mgrid[:720, :800]
    rgb = np.stack([x % 200, y % 200, np.full_like(x, 90)], axis=-1).astype(np.uint8)
    path = tmp_path / "ñ [1].tiff"
    tifffile.imwrite(
        path, rgb, photometric="rgb", tile=(256, 256), resolution=(4e4, 4e4), resolutionunit=3
    )
    return path


ORIGINAL = [
    feature(square(110, 110), identity=1),
    feature(square(150, 110), identity=2),
    feature(square(190, 110), identity=3),
    feature(square(600, 600), identity=4),
]
EDITED = [
    ORIGINAL[0],
    feature(square(152, 112), identity=2),  # moved; the third was deleted
    feature(square(110, 150), kind="annotation", name=""),  # added by hand
    feature(square(290, 150), kind="annotation"),  # added, half outside the region
    ORIGINAL[3],  # never looked at
    feature(square(230, 230), name="Ignore*"),
    reviewed(100, 100, 200, 160),
]


def test_reviewed_regions_become_images_and_labels(slide, tmp_path):
    out = tmp_path / "set"

    done = import_review(Review(slide, export(tmp_path / "e.geojson", EDITED)), out)
    (stem,) = done.stems
    labels = tifffile.imread(out / "label" / f"{stem}.tif")
    with Image.open(out / "image" / f"{stem}.png") as image:
        pixels = np.asarray(image)

    assert labels.shape == pixels.shape[:2] == (160, 200)
    assert tuple(pixels[7, 3]) == (103, 107, 90)  # the slide's own pixels, in their place
    assert done.n_nuclei == 4
    assert labels[15, 15] > 0
    assert labels[20, 99] == 0  # deleted
    assert labels[60, 15] > 0  # added
    assert labels[60, 195] > 0  # cut at the region's edge
    assert not labels[130:160, 130:160].any()  # of an ignored class
    assert 350 <= np.bincount(labels.ravel())[labels[15, 15]] <= 450


def test_the_zip_that_qupath_exports_is_read(slide, tmp_path):
    plain = export(tmp_path / "e.geojson", EDITED)
    with zipfile.ZipFile(tmp_path / "e.geojson.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(plain, "e.geojson")

    done = import_review(Review(slide, tmp_path / "e.geojson.zip"), tmp_path / "set")

    assert done.n_nuclei == 4


@pytest.mark.parametrize("names", [(), ("a.geojson", "b.geojson"), ("a.csv",)])
def test_other_zips_are_refused_by_name(slide, tmp_path, names):
    with zipfile.ZipFile(tmp_path / "e.zip", "w") as archive:
        archive.writestr("folder/", "")
        for name in names:
            archive.writestr(name, "{}")

    with pytest.raises(LabelError, match="ZIP archive"):
        import_review(Review(slide, tmp_path / "e.zip"), tmp_path / "set")


def test_a_damaged_zip_is_named_as_such(slide, tmp_path):
    plain = export(tmp_path / "e.geojson", EDITED)
    with zipfile.ZipFile(tmp_path / "e.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(plain, "e.geojson")
    whole = bytearray((tmp_path / "e.zip").read_bytes())
    whole[60:80] = bytes(20)
    (tmp_path / "e.zip").write_bytes(whole)
    (tmp_path / "cut.zip").write_bytes(whole[:-30])

    for name in ("e.zip", "cut.zip"):
        with pytest.raises(LabelError, match="truncated or damaged"):
            import_review(Review(slide, tmp_path / name), tmp_path / "set")


def test_changes_are_counted_inside_reviewed_regions_only(slide, tmp_path):
    edited = export(tmp_path / "e.geojson", EDITED)
    original = export(tmp_path / "o.geojson", ORIGINAL)

    done = import_review(Review(slide, edited), tmp_path / "set", original=original)

    assert (done.n_unchanged, done.n_changed, done.n_added, done.n_deleted) == (1, 1, 1 + 1, 1)


def test_a_second_import_replaces_the_first_and_keeps_other_slides(slide, tmp_path):
    out = tmp_path / "set"
    out.mkdir()
    (out / "manifest.csv").write_text("stem,group,mpp,slide_sha256\nother,p,0.25,zz\n")
    two = [*EDITED, reviewed(500, 500, 200, 160)]
    import_review(Review(slide, export(tmp_path / "a.geojson", two)), out)
    review = Review(slide, export(tmp_path / "b.geojson", EDITED), "patient 7", "Ada")

    done = import_review(review, out)

    with (out / "manifest.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["stem"] for row in rows] == ["other", *done.stems]
    assert (rows[1]["group"], rows[1]["reviewed_by"]) == ("patient 7", "Ada")
    assert len(list((out / "image").iterdir())) == len(list((out / "label").iterdir())) == 1


def test_a_region_of_any_shape_is_white_outside(slide, tmp_path):
    triangle = [[100, 100], [300, 100], [100, 300], [100, 100]]
    edited = [feature(triangle, kind="annotation", name="Reviewed"), *EDITED[:3]]

    done = import_review(Review(slide, export(tmp_path / "e.geojson", edited)), tmp_path / "set")

    with Image.open(tmp_path / "set" / "image" / f"{done.stems[0]}.png") as image:
        assert image.getpixel((190, 190)) == (255, 255, 255)
        assert image.getpixel((10, 10)) == (110, 110, 90)


def test_a_reviewed_region_without_nuclei_is_a_label_too(slide, tmp_path):
    edited = export(tmp_path / "e.geojson", [reviewed(400, 400, 100, 80)])

    done = import_review(Review(slide, edited), tmp_path / "set")

    assert done.n_nuclei == 0
    assert not tifffile.imread(tmp_path / "set" / "label" / f"{done.stems[0]}.tif").any()


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (ORIGINAL, "no annotation of the class Reviewed"),
        ([*EDITED, feature(square(0, 0, 700), kind="annotation", name="")], "too large"),
        ([reviewed(5000, 5000, 50, 40)], "outside"),
    ],
)
def test_exports_that_say_too_little_are_refused(slide, tmp_path, features, message):
    with pytest.raises(LabelError, match=message):
        import_review(Review(slide, export(tmp_path / "e.geojson", features)), tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_an_annotation_around_nuclei_is_left_out_and_said(slide, tmp_path):
    small = [feature(square(x, 110, side=8)) for x in (110, 130, 150)]
    around = feature(square(105, 100, side=60), kind="annotation", name="tumour")
    edited = export(tmp_path / "e.geojson", [reviewed(100, 100, 200, 160), *small, around])

    done = import_review(Review(slide, edited), tmp_path / "set")

    assert done.n_nuclei == 3
    assert "1 annotation around nuclei" in done.notes[0]


def test_a_region_without_an_area_is_left_out_and_said(slide, tmp_path):
    line = feature([[5, 5], [50, 5], [20, 5], [5, 5]], kind="annotation", name="Reviewed")
    edited = export(tmp_path / "e.geojson", [*EDITED, line])

    done = import_review(Review(slide, edited), tmp_path / "set")

    assert len(done.stems) == 1
    assert "1 region without an area" in done.notes[0]
    with pytest.raises(LabelError, match="no annotation of the class Reviewed"):
        import_review(Review(slide, export(tmp_path / "f.geojson", [line])), tmp_path / "set")


@pytest.mark.parametrize("said", ['{"n_regions": 1e999}', '{"reviewed_by": 3}', "[" * 60_000])
def test_a_provenance_that_cannot_be_read_is_one_line(slide, tmp_path, said):
    path = tmp_path / "e.geojson"
    path.write_text(f'{{"type": "FeatureCollection", "provenance": {said}, "features": []}}')

    with pytest.raises(LabelError, match="provenance that cannot be read") as caught:
        import_review(Review(slide, path), tmp_path / "set")
    assert len(str(caught.value)) < 400


def test_command_says_what_changed_and_what_to_do_next(slide, tmp_path):
    edited = export(tmp_path / "e.geojson", EDITED)
    original = export(tmp_path / "o.geojson", ORIGINAL)

    done = CliRunner().invoke(
        command,
        [str(slide), str(edited), "-o", str(tmp_path / "set"), "--original", str(original)],
    )

    assert done.exit_code == 0, done.output
    assert "1 unchanged, 1 changed, 2 added, 1 deleted" in done.output
    assert "teacher-labels" in done.output
