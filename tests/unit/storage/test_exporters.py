"""Every form is opened by a reader that is not ours; where that is not installed, tests say so."""

import csv
import json

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
from tests.builders import NAMESPACE, squares

WIDTH, HEIGHT = 2600, 50

pytestmark = [
    # What the readers do inside is theirs.
    pytest.mark.filterwarnings("ignore:.*infer_string.*"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


def source(tmp_path, nuclei=None):
    return NucleiSource(
        path=tmp_path / "A 1.parquet",
        nuclei=squares(7, 2100.0) if nuclei is None else nuclei,
        provenance={"model_name": "mé"},
        namespace=NAMESPACE,
        mpp=Mpp(0.25, 0.5),
        size_px=(WIDTH, HEIGHT),
    )


def written(tmp_path, name, nuclei=None):
    given = source(tmp_path, nuclei)
    exporter_for(name).write(given, tmp_path / name, 50_000)
    return given, tmp_path / name


def test_csv_has_a_row_for_each_nucleus_and_nothing_where_nothing_was_measured(tmp_path):
    given, path = written(tmp_path, "x.csv")

    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == nucleus_ids(given.nuclei, NAMESPACE)
    assert {row["confidence"] for row in rows} == {""}
    assert [float(row["centroid_x"]) for row in rows] == given.nuclei.centroid_xy[:, 0].tolist()
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
    assert [one["area"] for one in annotations] == shapely.area(given.nuclei.polygons()).tolist()
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
    assert list(data.var_names) == list(given.nuclei.measurements)
    assert list(data.obs_names) == nucleus_ids(given.nuclei, NAMESPACE)
    assert np.allclose(data.obsm["spatial"], given.nuclei.centroid_xy * (0.25, 0.5))
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
    assert third["id"] == nucleus_ids(given.nuclei, NAMESPACE)[2]
    assert third["properties"] == expected
    assert shapely.equals(shapely.geometry.shape(third["geometry"]), given.nuclei.polygons()[2])


@pytest.mark.parametrize("name", ["x.spaceranger.geojson", "x.xenium.geojson"])
def test_features_for_10x_are_read_by_geopandas(tmp_path, name):
    geopandas = pytest.importorskip("geopandas", reason="geopandas is not installed")
    given, path = written(tmp_path, name)

    table = geopandas.read_file(path)

    assert np.array_equal(
        shapely.area(np.asarray(table.geometry)), shapely.area(given.nuclei.polygons())
    )


def test_label_tiff_has_every_nucleus_by_its_row(tmp_path):
    given, path = written(tmp_path, "x_cp_masks.tif")

    labels = tifffile.imread(path)

    assert labels.shape == (HEIGHT, WIDTH)
    assert labels.dtype == np.int32
    x, y = given.nuclei.centroid_xy.astype(int).T
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


@pytest.mark.parametrize("exporter", EXPORTERS, ids=lambda one: one.name)
def test_no_nuclei_are_a_result_in_every_form(tmp_path, exporter):
    if exporter.package:
        pytest.importorskip(exporter.package, reason=f"{exporter.package} is not installed")
    given = source(tmp_path, Nuclei.empty(1, ["area_um2"]))

    exporter.check(given)
    exporter.write(given, tmp_path / f"x{exporter.extensions[0]}", 50_000)

    assert (tmp_path / f"x{exporter.extensions[0]}").exists()
    if exporter.extensions[0].endswith("json"):
        json.loads((tmp_path / f"x{exporter.extensions[0]}").read_text(encoding="utf-8"))


def test_what_a_form_needs_is_asked_for_before_anything_is_written(tmp_path):
    unknown = NucleiSource(tmp_path / "a.json", squares(1), {}, NAMESPACE, None, None)

    with pytest.raises(SettingsError, match="how large its slide is"):
        exporter_for("x.coco.json").check(unknown)
    with pytest.raises(SettingsError, match="micrometres per pixel"):
        exporter_for("x.h5ad").check(unknown)


def test_no_two_forms_share_a_name_or_an_ending():
    names = [one.name for one in EXPORTERS]
    endings = [ending for one in EXPORTERS for ending in one.extensions]

    assert len(set(names)) == len(names)
    assert all(exporter_for(f"x{ending}").name in names for ending in endings)
    assert len({exporter_for(f"x{ending}").name for ending in endings}) == len(names)
