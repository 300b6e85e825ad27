import gzip
import json
import uuid

import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely

from hoverfast_platform.errors import StorageError
from hoverfast_platform.nuclei.identity import id_texts, nucleus_ids
from hoverfast_platform.nuclei.nucleus import Nuclei
from hoverfast_platform.storage.blocks import BlockStore
from hoverfast_platform.storage.geojson import iter_features, join_features, write_geojson
from hoverfast_platform.storage.nuclei_table import (
    measurement_distributions,
    read_nuclei_table,
    read_table_metadata,
    wkb_polygons,
    write_nuclei_table,
)
from hoverfast_platform.storage.qupath_validation import count_joined_features, validate_qupath_file
from tests.builders import NAMESPACE, squares


def test_qupath_file_passes_the_strict_validator_and_keeps_its_provenance(tmp_path):
    path = tmp_path / "a.json.gz"

    n = write_geojson(path, [squares(3), squares(2, 100)], provenance={"a": 1}, namespace=NAMESPACE)
    report = validate_qupath_file(path, width=200, height=50)

    assert n == report.n_features == 5
    assert report.provenance == {"a": 1}


def test_no_nuclei_is_a_valid_file(tmp_path):
    path = tmp_path / "a.json.gz"
    write_geojson(path, [], provenance={}, namespace=NAMESPACE)

    assert validate_qupath_file(path).n_features == 0


def test_features_equal_the_plain_way():
    nuclei = squares(4)

    fast = [json.loads(line) for line in iter_features(nuclei, NAMESPACE)]

    for i, feature in enumerate(fast):
        assert feature["geometry"]["coordinates"] == [nuclei.ring(i).tolist()]
        assert feature["id"] == nucleus_ids(nuclei, NAMESPACE)[i]
        assert feature["properties"]["measurements"] == {"Area µm^2": 6.5, "Length µm": 10}


def test_equal_nuclei_give_equal_bytes(tmp_path):
    for name in ("a", "b"):
        path = tmp_path / f"{name}.json.gz"
        write_geojson(path, [squares(3)], provenance={"x": 1}, namespace=NAMESPACE)

    assert (tmp_path / "a.json.gz").read_bytes() == (tmp_path / "b.json.gz").read_bytes()


def test_features_made_block_by_block_elsewhere_give_the_same_file(tmp_path):
    """As workers do it: a block stored, its features beside it, the file joined from those."""
    nuclei = [squares(3), squares(0), squares(2, 100)]
    blocks = BlockStore(tmp_path / "blocks", "id")
    ids = {}
    for index in (2, 0, 1):
        blocks.write(index, nuclei[index], {})
        ids[index] = blocks.write_features(index, NAMESPACE, width=200, height=50)
    whole, joined = tmp_path / "whole.json.gz", tmp_path / "joined.json.gz"

    write_geojson(whole, nuclei, provenance={"x": 1}, namespace=NAMESPACE)
    n = join_features(joined, map(blocks.read_features, range(3)), provenance={"x": 1})

    assert n == count_joined_features(joined) == validate_qupath_file(joined).n_features == 5
    for index, part in enumerate(nuclei):
        assert [uuid.UUID(bytes=i.tobytes()) for i in ids[index]] == [
            uuid.UUID(text) for text in nucleus_ids(part, NAMESPACE)
        ]
    assert joined.read_bytes() == whole.read_bytes()
    lines = gzip.decompress(whole.read_bytes()).decode().splitlines()
    features = [feature.decode() for part in nuclei for feature in iter_features(part, NAMESPACE)]
    assert lines[1:-1] == [feature + "," for feature in features[:-1]] + features[-1:]


def test_a_block_that_qupath_would_refuse_is_an_error_of_its_own(tmp_path):
    blocks = BlockStore(tmp_path, "id")
    blocks.write(0, squares(3), {})

    with pytest.raises(StorageError, match=r"features-000000.*feature 1: .*outside the slide"):
        blocks.write_features(0, NAMESPACE, width=25, height=50)


def test_joined_file_that_was_damaged_is_not_counted(tmp_path):
    path = tmp_path / "a.json.gz"
    write_geojson(path, [], provenance={}, namespace=NAMESPACE)
    assert count_joined_features(path) == 0
    write_geojson(path, [squares(500)], provenance={}, namespace=NAMESPACE)
    whole = path.read_bytes()

    for damaged in (whole[:-20], whole[:100], whole[:3000] + b"x" + whole[3001:], b"", b"{}"):
        path.write_bytes(damaged)
        with pytest.raises(StorageError, match="not whole"):
            count_joined_features(path)
    with gzip.open(path, "wt") as file:
        file.write('{"type":"FeatureCollection","features":[\n]}\n')
    with pytest.raises(StorageError, match="begin or end"):
        count_joined_features(path)


def test_features_that_are_not_there_are_an_error(tmp_path):
    with pytest.raises(StorageError, match=r"features-000000.*Run again"):
        BlockStore(tmp_path, "id").read_features(0)


def broken_files():
    good = json.loads(next(iter_features(squares(1), NAMESPACE)))

    def changed(**properties):
        return good | {"properties": good["properties"] | properties}

    ring = good["geometry"]["coordinates"][0]
    bowtie = [[0, 0], [9, 9], [9, 0], [0, 9], [0, 0]]
    yield "not a UUID", [good | {"id": "7"}]
    yield "occurs twice", [good, good]
    yield "objectType", [changed(objectType="cell")]
    yield "colour", [changed(classification={"name": "Nucleus"})]
    yield "measurement", [changed(measurements={"a": "big"})]
    yield "not closed", [good | {"geometry": {"type": "Polygon", "coordinates": [ring[:-1]]}}]
    yield "not valid", [good | {"geometry": {"type": "Polygon", "coordinates": [bowtie]}}]
    yield (
        "outside the slide",
        [good | {"geometry": {"type": "Polygon", "coordinates": [[[x - 50, y] for x, y in ring]]}}],
    )


@pytest.mark.parametrize(("message", "features"), list(broken_files()))
def test_validator_refuses_what_qupath_would(tmp_path, message, features):
    path = tmp_path / "a.json.gz"
    with gzip.open(path, "wt") as file:
        json.dump({"type": "FeatureCollection", "provenance": {}, "features": features}, file)

    with pytest.raises(StorageError, match=message):
        validate_qupath_file(path, width=100, height=100)


def test_validator_refuses_truncated_and_foreign_files(tmp_path):
    path = tmp_path / "a.json.gz"
    write_geojson(path, [squares(50)], provenance={}, namespace=NAMESPACE)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(StorageError, match="cannot be read whole"):
        validate_qupath_file(path)
    with gzip.open(path, "wt") as file:
        json.dump([], file)
    with pytest.raises(StorageError, match="bare arrays"):
        validate_qupath_file(path)


def written_table(path, blocks, metadata=None):
    columns = ["area_um2", "perimeter_um", "confidence"]
    n = write_nuclei_table(path, blocks, columns, metadata=metadata or {}, namespace=NAMESPACE)
    return n, path


def test_table_round_trip(tmp_path):
    nuclei = squares(7)

    n, path = written_table(tmp_path / "a.parquet", [Nuclei.empty(1), nuclei], {"model": "é"})
    back = read_nuclei_table(path)

    assert n == 7
    assert np.array_equal(back.vertices_xy, nuclei.vertices_xy)
    assert np.array_equal(back.ring_starts, nuclei.ring_starts)
    assert np.array_equal(back.tile_index, nuclei.tile_index)
    assert list(back.measurements) == list(nuclei.measurements)
    assert np.array_equal(back.measurements["area_um2"], nuclei.measurements["area_um2"])
    assert read_table_metadata(path) == {"model": "é"}


def test_polygons_and_ids_made_at_once_equal_those_made_one_by_one():
    nuclei = squares(6).take(np.array([4, 0, 5]))

    assert wkb_polygons(nuclei).to_pylist() == shapely.to_wkb(nuclei.polygons()).tolist()
    assert wkb_polygons(squares(0)).to_pylist() == []
    texts = nucleus_ids(nuclei, NAMESPACE)
    ids = np.frombuffer(b"".join(uuid.UUID(text).bytes for text in texts), np.uint8)
    assert [row.tobytes().decode() for row in id_texts(ids.reshape(-1, 16))] == texts


def test_table_and_qupath_file_name_nuclei_alike(tmp_path):
    _, path = written_table(tmp_path / "a.parquet", [squares(3)])

    features = [json.loads(line) for line in iter_features(squares(3), NAMESPACE)]

    assert pq.read_table(path)["id"].to_pylist() == [feature["id"] for feature in features]


def test_table_without_nuclei_is_a_valid_file(tmp_path):
    n, path = written_table(tmp_path / "a.parquet", [])

    assert n == len(read_nuclei_table(path)) == 0
    assert measurement_distributions(path, ["area_um2"]) == {}


def test_distributions_leave_out_what_was_not_measured(tmp_path):
    _, path = written_table(tmp_path / "a.parquet", [squares(3), squares(2)])

    found = measurement_distributions(path, ["area_um2", "confidence"])

    assert list(found) == ["area_um2"]
    assert (found["area_um2"].mean, found["area_um2"].p50, found["area_um2"].sd) == (6.5, 6.5, 0)


def test_block_round_trip_and_damage(tmp_path):
    store = BlockStore(tmp_path / "blocks", "id-1")
    store.write(0, squares(3), {"n": 1.0})
    store.write(1, squares(2), {"n": 2.0})
    block = tmp_path / "blocks" / "block-000001.npz.gz"
    block.write_bytes(block.read_bytes()[:-30])

    nuclei, statistics = store.read(0)

    assert len(nuclei) == 3
    assert statistics == {"n": 1.0}
    assert store.finished() == {0}
    assert not block.exists()


def test_blocks_of_another_segmentation_are_refused(tmp_path):
    BlockStore(tmp_path / "blocks", "id-1")

    with pytest.raises(StorageError, match="id-1"):
        BlockStore(tmp_path / "blocks", "id-2")


def test_taking_rows_keeps_rings_together():
    nuclei = squares(5)

    taken = nuclei.take(np.array([3, 1]))

    assert np.array_equal(taken.ring(0), nuclei.ring(3))
    assert np.array_equal(taken.ring(1), nuclei.ring(1))
