"""Every form is opened by a reader that is not ours; where that is not installed, tests say so."""

import csv
import json
import tomllib
import weakref
from dataclasses import replace

import numpy as np
import pytest
import shapely
import tifffile

from hoverfast_platform.errors import SettingsError
from hoverfast_platform.geometry import Mpp
from hoverfast_platform.nuclei.identity import nucleus_ids
from hoverfast_platform.nuclei.nucleus import Nuclei
from hoverfast_platform.storage.exporters.exporter import NucleiSource
from hoverfast_platform.storage.exporters.table import EXPORTERS, exporter_for
from tests.builders import NAMESPACE, provenance, squares
from tests.conftest import REPOSITORY

WIDTH, HEIGHT = 2600, 50
IDENTITY = "ab" * 16

pytestmark = [
    # What the readers do inside is theirs.
    pytest.mark.filterwarnings("ignore:.*infer_string.*"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


def source(tmp_path, nuclei=None, provenance=None):
    given = squares(7, 2100.0) if nuclei is None else nuclei
    return NucleiSource(
        path=tmp_path / "A 1.parquet",
        n_nuclei=len(given),
        columns=tuple(given.measurements),
        read=lambda: iter([given.take(np.arange(0)), given]),
        provenance=provenance or {"model_name": "mé"},
        namespace=NAMESPACE,
        mpp=Mpp(0.25, 0.5),
        size_px=(WIDTH, HEIGHT),
    )


def written(tmp_path, name, nuclei=None):
    """A file of this name, and the nuclei in it."""
    given = source(tmp_path, nuclei)
    exporter_for(name).write(given, tmp_path / name, 50_000)
    return Nuclei.concatenate(list(given.read())), tmp_path / name


def test_csv_has_a_row_for_each_nucleus_and_nothing_where_nothing_was_measured(tmp_path):
    given, path = written(tmp_path, "x.csv")

    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == nucleus_ids(given, NAMESPACE)
    assert {row["confidence"] for row in rows} == {""}
    assert [float(row["centroid_x"]) for row in rows] == given.centroid_xy[:, 0].tolist()
    assert float(rows[0]["area_um2"]) == 6.5


def test_csv_is_read_by_pandas(tmp_path):
    pandas = pytest.importorskip("pandas", reason="pandas, an extra, is not installed")
    _, path = written(tmp_path, "x.csv")

    table = pandas.read_csv(path)

    assert len(table) == 7
    assert table.confidence.isna().all()


def test_coco_is_read_by_pycocotools(tmp_path, capsys):
    pycocotools = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed")
    given, path = written(tmp_path, "x.coco.json")

    coco = pycocotools.COCO(str(path))

    annotations = coco.loadAnns(coco.getAnnIds(imgIds=[1]))
    assert [one["area"] for one in annotations] == shapely.area(given.polygons()).tolist()
    assert annotations[2]["bbox"] == [2140.0, 0.0, 10.5, 10.0]
    mask = coco.annToMask(annotations[2])
    assert mask.shape == (HEIGHT, WIDTH)
    assert 95 <= mask.sum() <= 115
    assert mask[5, 2145] == 1


def test_coco_without_reader_has_open_rings_in_pixels(tmp_path):
    _, path = written(tmp_path, "x.coco.json")

    content = json.loads(path.read_text(encoding="utf-8"))

    assert content["images"][0] == {
        "id": 1, "file_name": "A 1", "width": WIDTH, "height": HEIGHT
    }  # fmt: skip
    assert content["annotations"][0]["segmentation"] == [
        [2100.0, 0.0, 2110.5, 0.0, 2110.5, 10.0, 2100.0, 10.0]
    ]


def test_anndata_has_places_in_micrometres(tmp_path):
    anndata = pytest.importorskip("anndata", reason="anndata, an extra, is not installed")
    given, path = written(tmp_path, "x.h5ad")

    data = anndata.read_h5ad(path)

    assert data.shape == (7, 3)
    assert list(data.var_names) == list(given.measurements)
    assert list(data.obs_names) == nucleus_ids(given, NAMESPACE)
    assert np.allclose(data.obsm["spatial"], given.centroid_xy * (0.25, 0.5))
    assert (data.X[:, 0] == 6.5).all()
    assert json.loads(data.uns["hoverfast"]) == {"model_name": "mé"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("x.spaceranger.geojson", {"cell_id": 3}),
        ("x.xenium.geojson", {"objectType": "cell"}),
    ],
)
def test_features_for_10x_are_a_collection_in_pixels(tmp_path, name, expected):
    given, path = written(tmp_path, name)

    content = json.loads(path.read_text(encoding="utf-8"))

    assert content["type"] == "FeatureCollection"
    assert len(content["features"]) == 7
    third = content["features"][2]
    assert third["id"] == nucleus_ids(given, NAMESPACE)[2]
    assert third["properties"] == expected
    assert shapely.equals(shapely.geometry.shape(third["geometry"]), given.polygons()[2])


@pytest.mark.parametrize("name", ["x.spaceranger.geojson", "x.xenium.geojson"])
def test_features_for_10x_are_read_by_geopandas(tmp_path, name):
    geopandas = pytest.importorskip("geopandas", reason="geopandas is not installed")
    given, path = written(tmp_path, name)

    table = geopandas.read_file(path)

    assert np.array_equal(shapely.area(np.asarray(table.geometry)), shapely.area(given.polygons()))


def test_label_tiff_has_every_nucleus_by_its_row(tmp_path):
    given, path = written(tmp_path, "x_cp_masks.tif")

    labels = tifffile.imread(path)

    assert labels.shape == (HEIGHT, WIDTH)
    assert labels.dtype == np.int32
    x, y = given.centroid_xy.astype(int).T
    assert labels[y, x].tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert [path.name for path in tmp_path.iterdir()] == ["x_cp_masks.tif"]


def test_labels_of_nuclei_without_tiles_are_those_of_nuclei_with_them(tmp_path):
    """Nuclei of GeoJSON do not say which tile found them."""
    nuclei = squares(125)
    _, with_tiles = written(tmp_path, "a.labels.tif", nuclei)
    without = Nuclei(
        nuclei.centroid_xy, nuclei.vertices_xy, nuclei.ring_starts, 0 * nuclei.tile_index, 1
    )
    _, without_tiles = written(tmp_path, "b.labels.tif", without)

    assert np.array_equal(tifffile.imread(with_tiles), tifffile.imread(without_tiles))


IN_EVERY_FORM = [
    # SpatialData's libraries warn of each other.
    pytest.param(one, marks=[pytest.mark.filterwarnings("ignore")] * (one.name == "spatialdata"))
    for one in EXPORTERS
]


@pytest.mark.parametrize("exporter", IN_EVERY_FORM, ids=lambda one: one.name)
def test_no_nuclei_are_a_result_in_every_form(tmp_path, exporter):
    if exporter.package:
        pytest.importorskip(exporter.package, reason=f"{exporter.package} is not installed")
    said = provenance(IDENTITY).model_dump(mode="json")
    given = source(tmp_path, Nuclei.empty(1, ["area_um2"]), said)

    exporter.check(given)
    if exporter.name == "dicom":
        with pytest.raises(SettingsError, match="has no nuclei"):
            exporter.write(given, tmp_path / "x.ann.dcm", 50_000)
        return
    exporter.write(given, tmp_path / f"x{exporter.extensions[0]}", 50_000)

    assert (tmp_path / f"x{exporter.extensions[0]}").exists()
    if exporter.extensions[0].endswith("json"):
        json.loads((tmp_path / f"x{exporter.extensions[0]}").read_text(encoding="utf-8"))


def test_what_a_form_needs_is_asked_for_before_anything_is_written(tmp_path):
    unknown = replace(source(tmp_path), provenance={}, mpp=None, size_px=None)

    with pytest.raises(SettingsError, match="how large its slide is"):
        exporter_for("x.coco.json").check(unknown)
    with pytest.raises(SettingsError, match="micrometres per pixel"):
        exporter_for("x.h5ad").check(unknown)
    with pytest.raises(SettingsError, match="which model found its nuclei"):
        exporter_for("x.ann.dcm").check(unknown)


def test_no_two_forms_share_a_name_or_an_ending():
    names = [one.name for one in EXPORTERS]
    endings = [ending for one in EXPORTERS for ending in one.extensions]

    assert len(set(names)) == len(names)
    assert all(exporter_for(f"x{ending}").name in names for ending in endings)
    assert len({exporter_for(f"x{ending}").name for ending in endings}) == len(names)


@pytest.mark.parametrize(
    "exporter", [one for one in EXPORTERS if one.streams], ids=lambda e: e.name
)
def test_forms_that_are_written_block_by_block_hold_few_blocks(tmp_path, exporter):
    blocks, most = [], 0

    def read():
        nonlocal most
        for i in range(12):
            block = squares(4, 10.0 + 100 * i)
            blocks.append(weakref.ref(block.vertices_xy))
            yield block
            del block
            most = max(most, sum(one() is not None for one in blocks))

    given = replace(source(tmp_path), n_nuclei=48, read=read)

    exporter.write(given, tmp_path / f"x{exporter.extensions[0]}", 50_000)

    assert 0 < most <= 3


def test_conic_array_has_instances_and_classes(tmp_path):
    given, path = written(tmp_path, "x.conic.npy")

    array = np.load(path)

    assert array.shape == (1, HEIGHT, WIDTH, 2)
    x, y = given.centroid_xy.astype(int).T
    assert array[0, y, x, 0].tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert array[0, y, x, 1].tolist() == [1] * 7
    assert not array[0, 30:].any()


DICOM_SIZE = 16  # of OpenSlide's test slide


def dicom_source(tmp_path, **how):
    said = provenance(
        IDENTITY,
        slide={"width_px": DICOM_SIZE, "height_px": DICOM_SIZE, **how},
        model={"name": "m é", "version": "2"},
    )
    return source(tmp_path, squares(7), said.model_dump(mode="json"))


def read_dicom(path):
    highdicom = pytest.importorskip("highdicom", reason="highdicom, an extra, is not installed")
    return highdicom.ann.annread(path)


@pytest.fixture
def annotations(tmp_path):
    pytest.importorskip("highdicom", reason="highdicom, an extra, is not installed")
    exporter_for("x.ann.dcm").write(dicom_source(tmp_path), tmp_path / "x.ann.dcm", 0)
    return read_dicom(tmp_path / "x.ann.dcm")


def test_dicom_annotations_are_read_by_highdicom(annotations):
    (group,) = annotations.get_annotation_groups()

    outlines = group.get_graphic_data(coordinate_type="2D")
    expected = [ring[:-1] for ring in np.split(squares(7).vertices_xy, 7)]
    assert all(np.allclose(a, b) for a, b in zip(outlines, expected, strict=True))
    assert group.annotated_property_type.meaning == "Nucleus"
    names, values, units = group.get_measurements()
    assert [name.meaning for name in names] == ["Area", "Perimeter"]  # confidence is NaN
    assert [unit.value for unit in units] == ["um2", "um"]
    assert (values == [6.5, 10.0]).all()
    (algorithm,) = group.algorithm_identification
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("m é", "2")


def test_dicom_annotations_of_another_slide_refer_to_what_it_would_be(annotations, tmp_path):
    exporter_for("x.ann.dcm").write(dicom_source(tmp_path), tmp_path / "again.ann.dcm", 0)
    again = read_dicom(tmp_path / "again.ann.dcm")
    exporter_for("x.ann.dcm").write(
        dicom_source(tmp_path, sha256="e" * 64), tmp_path / "other.ann.dcm", 0
    )
    other = read_dicom(tmp_path / "other.ann.dcm")

    def image(one):
        return one.ReferencedImageSequence[0].ReferencedSOPInstanceUID

    assert annotations.PatientID == f"slide-{'a' * 10}"
    assert image(annotations) == image(again) != image(other)
    assert annotations.StudyInstanceUID == again.StudyInstanceUID != other.StudyInstanceUID


def test_dicom_annotations_belong_to_the_dicom_slide_that_is_given(tmp_path, shared_data):
    pydicom = pytest.importorskip("pydicom", reason="pydicom, an extra, is not installed")
    folder = shared_data / "slides" / "openslide_boxes_dicom"
    given = replace(dicom_source(tmp_path), slide=folder)

    exporter_for("x.ann.dcm").write(given, tmp_path / "x.ann.dcm", 0)

    slide = pydicom.dcmread(folder / "boxes_0.dcm", stop_before_pixels=True)
    found = pydicom.dcmread(tmp_path / "x.ann.dcm")
    assert found.Modality == "ANN"
    assert found.StudyInstanceUID == slide.StudyInstanceUID
    (image,) = found.ReferencedImageSequence
    assert image.ReferencedSOPInstanceUID == slide.SOPInstanceUID
    (series,) = found.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == slide.SeriesInstanceUID


def test_a_dicom_slide_of_another_size_is_refused(tmp_path, shared_data):
    pytest.importorskip("highdicom", reason="highdicom, an extra, is not installed")
    folder = shared_data / "slides" / "openslide_boxes_dicom"
    given = replace(dicom_source(tmp_path, width_px=17), slide=folder)

    with pytest.raises(SettingsError, match="no DICOM image of 17x16 px"):
        exporter_for("x.ann.dcm").write(given, tmp_path / "x.ann.dcm", 0)


@pytest.mark.filterwarnings("ignore")
def test_spatialdata_has_outlines_labels_and_a_table_in_micrometres(tmp_path):
    spatialdata = pytest.importorskip("spatialdata", reason="spatialdata, an extra, is absent")
    given, path = written(tmp_path, "x.sdata.zarr")

    data = spatialdata.read_zarr(path)

    shapes = data.shapes["nuclei"]
    assert list(shapes.index) == nucleus_ids(given, NAMESPACE)
    moved = spatialdata.transform(shapes, to_coordinate_system="global")
    expected = shapely.area(given.polygons()) * 0.25 * 0.5
    assert np.allclose(shapely.area(np.asarray(moved.geometry)), expected)
    labels = np.asarray(data.labels["nuclei_labels"]["scale0"]["image"])
    x, y = given.centroid_xy.astype(int).T
    assert labels[y, x].tolist() == [1, 2, 3, 4, 5, 6, 7]
    table = data.tables["measurements"]
    assert list(table.var_names) == list(given.measurements)
    assert list(table.obs["nucleus"]) == list(shapes.index)
    assert json.loads(data.attrs["hoverfast"]) == {"model_name": "mé"}
    assert [one.name for one in tmp_path.iterdir()] == ["x.sdata.zarr"]


def test_the_extra_of_every_package_exists():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert {one.extra_name for one in EXPORTERS if one.package} <= set(
        project["optional-dependencies"]
    )
