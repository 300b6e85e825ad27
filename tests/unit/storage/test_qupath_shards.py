import gzip
import json
import uuid
import zipfile
from pathlib import PurePath

import pytest

from hoverfast_platform.errors import StorageError
from hoverfast_platform.storage.geojson import deflate_features, write_geojson
from hoverfast_platform.storage.qupath_shards import MANIFEST, check_qupath_zip, write_qupath_zip
from hoverfast_platform.storage.qupath_validation import validate_qupath_file
from tests.builders import NAMESPACE, squares

PROVENANCE = {"slide": "é"}


def written(path, blocks, per_shard=4):
    parts = [deflate_features(nuclei, NAMESPACE) for nuclei in blocks]
    write_qupath_zip(path, parts, provenance=PROVENANCE, per_shard=per_shard)
    return path


def test_shards_hold_every_nucleus_once_and_each_is_a_valid_file(tmp_path):
    path = written(tmp_path / "a.zip", [squares(2), squares(0), squares(2, 100), squares(3, 500)])

    assert check_qupath_zip(path) == 7
    ids = set()
    with zipfile.ZipFile(path) as archive:
        manifest = json.loads(archive.read(MANIFEST))
        for shard in manifest["shards"]:
            archive.extract(shard["file"], tmp_path)
            report = validate_qupath_file(tmp_path / shard["file"], width=600, height=20)
            assert report.n_features == shard["n_nuclei"]
            features = json.loads((tmp_path / shard["file"]).read_text("utf-8"))["features"]
            ids |= {uuid.UUID(feature["id"]) for feature in features}
    assert [shard["n_nuclei"] for shard in manifest["shards"]] == [4, 3]
    assert len(ids) == 7


@pytest.mark.parametrize("n", [0, 4, 8])
def test_counts_that_fill_shards_exactly(tmp_path, n):
    blocks = [squares(2, 100 * i) for i in range(n // 2)]

    assert check_qupath_zip(written(tmp_path / "a.zip", blocks)) == n


def test_joined_shards_hold_the_text_of_files_written_at_once(tmp_path):
    """No text is compressed twice, and any reader of zip files finds it whole."""
    blocks = [squares(3), squares(1, 100), squares(9, 200)]
    path = written(tmp_path / "a.zip", blocks)

    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        texts = [archive.read(f"nuclei-{i:04d}.geojson") for i in (1, 2)]
    for text, group in zip(texts, (blocks[:2], blocks[2:]), strict=True):
        whole = tmp_path / "whole.json.gz"
        write_geojson(whole, group, provenance=PROVENANCE, namespace=NAMESPACE)
        assert text == gzip.decompress(whole.read_bytes())


def test_equal_nuclei_give_equal_bytes(tmp_path):
    a, b = (written(tmp_path / name, [squares(9)]) for name in ("a.zip", "b.zip"))

    assert a.read_bytes() == b.read_bytes()


def test_a_shard_that_was_changed_is_noticed(tmp_path):
    path = written(tmp_path / "a.zip", [squares(4), squares(5, 100)])
    changed = tmp_path / "b.zip"
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(changed, "w") as target:
        for name in source.namelist():
            text = source.read(name)
            target.writestr(name, text[:-9] if name == "nuclei-0002.geojson" else text)

    with pytest.raises(StorageError, match="nuclei-0002"):
        check_qupath_zip(changed)


def test_a_truncated_zip_is_noticed(tmp_path):
    path = written(tmp_path / "a.zip", [squares(9)])
    path.write_bytes(path.read_bytes()[:-40])

    with pytest.raises(StorageError, match="not a whole zip"):
        check_qupath_zip(path)


def test_qupath_lets_the_zip_be_dragged_onto_its_viewer(tmp_path):
    """Every extension inside must be one of object files; what has none is not asked."""
    path = written(tmp_path / "a.zip", [squares(4), squares(5, 100)])

    with zipfile.ZipFile(path) as archive:
        extensions = {PurePath(name).suffix for name in archive.namelist()} - {""}
    assert extensions == {".geojson"}
    assert "." not in MANIFEST
