import gzip
import json
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import shapely
import zarr
from click.testing import CliRunner

from hoverfast_platform.cli.convert import command
from hoverfast_platform.errors import SettingsError, StorageError
from hoverfast_platform.nuclei.nucleus import MEASUREMENTS
from hoverfast_platform.storage.exporters.table import EXPORTERS
from hoverfast_platform.storage.geojson import write_geojson
from hoverfast_platform.storage.label_pyramid import LABELS
from hoverfast_platform.storage.nuclei_table import read_nuclei_table, write_nuclei_table
from hoverfast_platform.storage.qupath_shards import check_qupath_zip
from hoverfast_platform.storage.qupath_validation import validate_qupath_file
from tests.builders import NAMESPACE, provenance, squares

MEASURED = ("area_um2", "perimeter_um")
FIRST = [[100.0, 100.0], [120.0, 100.0], [120.0, 116.0], [100.0, 116.0], [100.0, 100.0]]
BOWTIE = [[0.0, 0.0], [20.0, 20.0], [20.0, 0.0], [0.0, 20.0], [0.0, 0.0]]
COLLAPSED = [[5.0, 5.0], [9.0, 5.0], [5.0, 5.0], [5.0, 5.0]]


def published_feature(ring):
    return {
        "geometry": {"type": "Polygon", "coordinates": [ring], "centroid": [1, 2]},
        "properties": {
            "object_type": "cell",
            "classification": {"name": "Nuclei", "colorRGB": -65536},
            "isLocked": False,
        },
        "type": "Feature",
    }


def published_file(path, rings, *, slide=True):
    """As the published tool writes: slides a feature per line, ROIs in one line."""
    features = [json.dumps(published_feature(ring)) for ring in rings]
    text = "[\n" + ",\n".join(features) + "\n]" if slide else "[" + ",".join(features) + "]"
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.write(text)
    return path


def converted(source, target, *options):
    done = CliRunner().invoke(command, [str(source), str(target), *options])
    if done.exception:
        raise done.exception
    return done.output


@pytest.mark.parametrize("slide", [True, False])
def test_published_files_become_valid_ones(tmp_path, slide):
    old = published_file(tmp_path / "old.json.gz", [FIRST, BOWTIE, COLLAPSED], slide=slide)

    output = converted(old, tmp_path / "new.json.gz", "--mpp", "0.25")
    report = validate_qupath_file(tmp_path / "new.json.gz")

    assert report.n_features == 2
    assert report.provenance["converted_from"] == "old.json.gz"
    assert "1 without a valid polygon left out" in output


@pytest.mark.parametrize("as_array", [True, False])
@pytest.mark.parametrize("indent", [None, 2])
def test_exports_of_any_layout_are_read(tmp_path, as_array, indent):
    features = [published_feature(FIRST), published_feature(BOWTIE)]
    content = features if as_array else {"type": "FeatureCollection", "features": features}
    (tmp_path / "old.geojson").write_text(json.dumps(content, indent=indent))

    converted(tmp_path / "old.geojson", tmp_path / "new.json.gz")

    assert validate_qupath_file(tmp_path / "new.json.gz").n_features == 2


def test_published_files_become_tables_with_sizes_if_the_scale_is_given(tmp_path):
    old = published_file(tmp_path / "old.json.gz", [FIRST])

    converted(old, tmp_path / "a.parquet", "--mpp", "0.5")
    converted(old, tmp_path / "b.parquet")

    assert read_nuclei_table(tmp_path / "a.parquet").measurements["area_um2"] == [80]
    assert list(read_nuclei_table(tmp_path / "b.parquet").measurements) == ["solidity"]


def test_an_empty_published_slide_is_an_empty_result(tmp_path):
    old = published_file(tmp_path / "old.json.gz", [])

    converted(old, tmp_path / "new.json.gz")

    assert validate_qupath_file(tmp_path / "new.json.gz").n_features == 0


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "slide.parquet"
    made_from = provenance(NAMESPACE.hex, slide={"width_px": 300, "height_px": 50}).model_dump(
        mode="json"
    )
    columns = list(squares(1).measurements)
    write_nuclei_table(path, [squares(9)], columns, metadata=made_from, namespace=NAMESPACE)
    return path


def test_a_table_becomes_every_other_form_and_comes_back(table, tmp_path):
    for target in ("q.json.gz", "q.zip", "q.zarr"):
        converted(table, tmp_path / target, "--per-shard", "4")
    converted(tmp_path / "q.json.gz", tmp_path / "again.parquet")

    assert validate_qupath_file(tmp_path / "q.json.gz", width=300, height=50).n_features == 9
    assert check_qupath_zip(tmp_path / "q.zip") == 9
    assert int(zarr.open_group(tmp_path / "q.zarr" / LABELS, mode="r")["0"][:].max()) == 9
    before, after = read_nuclei_table(table), read_nuclei_table(tmp_path / "again.parquet")
    assert (
        shapely.area(shapely.symmetric_difference(before.polygons(), after.polygons())) == 0
    ).all()
    assert list(after.measurements) == [*MEASURED, "equivalent_diameter_um", "solidity"]
    for name in MEASURED:
        assert np.array_equal(before.measurements[name], after.measurements[name])


def test_a_table_made_of_our_own_geojson_has_every_measurement(tmp_path):
    """Also those that only the pixels could give."""
    nuclei = squares(5)
    for i, measurement in enumerate(MEASUREMENTS):
        column = np.arange(5, dtype=np.float32) + i
        column[3] = np.nan
        nuclei = nuclei.with_column(measurement.column, column)
    write_geojson(
        tmp_path / "a.json.gz",
        [nuclei],
        provenance=provenance(NAMESPACE.hex).model_dump(mode="json"),
        namespace=NAMESPACE,
    )

    converted(tmp_path / "a.json.gz", tmp_path / "b.zip")
    converted(tmp_path / "a.json.gz", tmp_path / "b.parquet")

    found = read_nuclei_table(tmp_path / "b.parquet").measurements
    assert list(found) == [m.column for m in MEASUREMENTS]
    for name, column in nuclei.measurements.items():
        assert np.array_equal(found[name], column, equal_nan=True)
    with zipfile.ZipFile(tmp_path / "b.zip") as archive:
        first = json.loads(archive.read("nuclei-0001.geojson"))["features"][0]
    assert list(first["properties"]["measurements"]) == [m.qupath_name for m in MEASUREMENTS]


def test_forms_are_listed(tmp_path):
    done = CliRunner().invoke(command, ["--to"])

    assert done.exit_code == 0
    assert [line.split()[0] for line in done.output.splitlines()] == [e.name for e in EXPORTERS]


def test_without_a_source_and_a_target_the_usage_says_what_is_missing(table):
    for words in ([], [str(table)]):
        done = CliRunner().invoke(command, words)

        assert done.exit_code == 2
        assert "SOURCE and TARGET are needed" in done.output


def test_what_was_converted_is_json_alone_when_asked(table, tmp_path):
    found = json.loads(converted(table, tmp_path / "a.csv", "--json"))

    assert found["target"] == str(tmp_path / "a.csv")
    assert found["n_nuclei"] == len(read_nuclei_table(table))


def test_a_form_is_chosen_by_name(table, tmp_path):
    converted(table, tmp_path / "x.txt", "--to", "csv")

    assert (tmp_path / "x.txt").read_text().startswith('"id","centroid_x"')
    with pytest.raises(SettingsError, match="no form 'excel'"):
        converted(table, tmp_path / "y.txt", "--to", "excel")


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        ("x.txt", SettingsError, "no known suffix"),
        ("x.zarr", SettingsError, "how large its slide is"),
    ],
)
def test_targets_that_cannot_be_made_are_refused(tmp_path, target, error, message):
    old = published_file(tmp_path / "old.json.gz", [FIRST])

    with pytest.raises(error, match=message):
        converted(old, tmp_path / target)
    assert [path.name for path in tmp_path.iterdir()] == ["old.json.gz"]


def damaged_texts():
    one = json.dumps(published_feature(FIRST))
    yield ""
    yield f"[\n{one},\n"
    yield f"[\n{one}\n{one}\n]"
    yield f"[\n{one},\n]"
    yield f"[\n{one}\n]}}"
    yield f"[\n{one[:-9]}\n]"
    yield '{"type":"FeatureCollection"}'
    yield '[\n{"type":"Feature","geometry":{"type":"Point","coordinates":[1,2]}}\n]'


@pytest.mark.parametrize("text", list(damaged_texts()))
def test_damaged_files_are_refused_and_nothing_is_left(tmp_path, text):
    with gzip.open(tmp_path / "old.json.gz", "wt") as file:
        file.write(text)

    with pytest.raises(StorageError):
        converted(tmp_path / "old.json.gz", tmp_path / "new.json.gz")
    assert [path.name for path in tmp_path.iterdir()] == ["old.json.gz"]


@pytest.mark.parametrize("target", ["x.json.gz", "x.zip", "x.parquet", "x.zarr"])
def test_a_full_disk_is_said_and_leaves_nothing(tmp_path, target):
    """A limit on the size of files stands in for the disk."""
    table = tmp_path / "slide.parquet"
    made_from = provenance(NAMESPACE.hex, slide={"width_px": 200_000, "height_px": 50}).model_dump(
        mode="json"
    )
    nuclei = squares(9000)
    write_nuclei_table(
        table,
        [nuclei],
        list(nuclei.measurements),
        metadata=made_from,
        namespace=NAMESPACE,
    )
    out = tmp_path / "out"
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500));"
        f"sys.argv = ['hoverfast', 'convert', {str(table)!r}, {str(out / target)!r}];"
        "from hoverfast_platform.cli.main import main; main()"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "cannot be written" in done.stderr
    assert not list(out.iterdir())
