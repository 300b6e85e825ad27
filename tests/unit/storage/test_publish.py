"""A result has its final names whole or not at all, wherever a run is killed."""

import functools
import json
import shutil
from itertools import count

import pytest

from hoverfast_platform.errors import StorageError
from hoverfast_platform.storage.blocks import BlockStore
from hoverfast_platform.storage.geojson import write_geojson
from hoverfast_platform.storage.nuclei_table import write_nuclei_table
from hoverfast_platform.storage.publish import (
    SCRATCH,
    find_published,
    finish_publications,
    publish,
    results_stem,
)
from hoverfast_platform.storage.qupath_shards import write_qupath_zip
from hoverfast_platform.storage.read_provenance import read_provenance
from hoverfast_platform.storage.summary import SegmentationSummary
from tests.builders import NAMESPACE, squares
from tests.killed_at import killed_before_step
from tests.unit.reports.test_run_report import summary_of

N = 12
SLIDE = summary_of(N).provenance.slide.sha256
IDENTITY = summary_of(N).provenance.segmentation_id


def staged(out_dir, *, with_zip=False):
    """A finished run that published nothing yet, as segment_slide leaves it."""
    folder = out_dir / SCRATCH / IDENTITY
    blocks = BlockStore(folder, IDENTITY)
    blocks.write(0, squares(N), {})
    blocks.write_features(0, NAMESPACE, width=400, height=100)
    metadata = summary_of(N).provenance.model_dump(mode="json")
    columns = list(squares(1).measurements)
    write_geojson(folder / "result.json.gz", [squares(N)], provenance=metadata, namespace=NAMESPACE)
    write_nuclei_table(
        folder / "result.parquet", [squares(N)], columns, metadata=metadata, namespace=NAMESPACE
    )
    (folder / "result.preview.jpg").write_bytes(b"a picture")
    (folder / "result.mask.png").write_bytes(b"where was looked")
    if with_zip:
        write_qupath_zip(
            folder / "result.qupath.zip", [blocks.read_features(0)], provenance=metadata
        )
    return folder


def earlier_result(out_dir):
    """Of the same slide and another model: files that the new result replaces or removes."""
    provenance = summary_of(N).provenance.model_copy(update={"segmentation_id": "f" * 32})
    summary_of(N).model_copy(update={"provenance": provenance}).write(out_dir / "a.summary.json")
    for ending in (".parquet", ".json.gz", ".preview.jpg", ".qupath.zip"):
        (out_dir / f"a{ending}").write_bytes(b"old")
    (out_dir / "a.zarr/0").mkdir(parents=True)
    (out_dir / "a.zarr/0/zarr.json").write_text("{}")


def run(out_dir, **how):
    """What segment_slide does around the computation."""
    finish_publications(out_dir)
    if find_published(out_dir, "a", SLIDE, IDENTITY) is None:
        publish(staged(out_dir, **how), out_dir, "a", summary_of(N))


def tree(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*")
        if path.is_file()
    }  # fmt: skip


@pytest.mark.parametrize(("has_earlier", "with_zip"), [(False, True), (True, False)])
def test_killed_before_any_step_the_next_run_ends_with_the_same_files(
    tmp_path, has_earlier, with_zip
):
    def folder(name):
        out_dir = tmp_path / name
        (out_dir / SCRATCH).mkdir(parents=True)
        if has_earlier:
            earlier_result(out_dir)
        return out_dir

    undisturbed = folder("undisturbed")
    run(undisturbed, with_zip=with_zip)
    expected = tree(undisturbed)

    for n in count(1):
        out_dir = folder(f"{n:03d}")
        task = functools.partial(run, out_dir, with_zip=with_zip)
        was_killed = killed_before_step(n, task, out_dir)
        run(out_dir, with_zip=with_zip)

        assert tree(out_dir) == expected, f"killed before step {n}"
        assert len(list((out_dir / SCRATCH).iterdir())) == 1  # the lock
        shutil.rmtree(out_dir)
        if not was_killed:
            break
    assert n > 20  # there were steps to be killed at


def test_killed_twice_the_third_run_ends_with_the_same_files(tmp_path):
    """The second kill is in the midst of finishing what the first left."""
    (tmp_path / "whole" / SCRATCH).mkdir(parents=True)
    run(tmp_path / "whole")
    expected = tree(tmp_path / "whole")
    out_dir = tmp_path / "out"
    for first in range(14, 30, 5):
        for second in range(1, 10, 4):
            (out_dir / SCRATCH).mkdir(parents=True)
            killed_before_step(first, lambda: run(out_dir), out_dir)
            killed_before_step(second, lambda: run(out_dir), out_dir)
            run(out_dir)
            assert tree(out_dir) == expected, (first, second)
            shutil.rmtree(out_dir)


@pytest.fixture
def published(tmp_path):
    (tmp_path / SCRATCH).mkdir()
    run(tmp_path)
    return tmp_path


@pytest.mark.parametrize("ending", [".json.gz", ".parquet", ".preview.jpg", ".mask.png"])
def test_a_changed_file_is_told_and_made_again(published, ending, caplog):
    whole = tree(published)
    path = published / f"a{ending}"
    path.write_bytes(path.read_bytes() + b" ")

    with pytest.raises(StorageError, match=f"a{ending} changed since"):
        read_provenance(published / "a.summary.json")
    assert find_published(published, "a", SLIDE, IDENTITY) is None
    assert f"a{ending} changed" in caplog.text
    run(published)
    assert tree(published) == whole


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text.replace('"n_nuclei": 12', '"n_nuclei": 13'),
        lambda text: text[: len(text) // 2],
        lambda text: json.dumps({k: v for k, v in json.loads(text).items() if "sha" not in k}),
        lambda text: "",
    ],
    ids=["edited", "torn", "without its digest", "empty"],
)
def test_an_edited_or_torn_summary_is_told_and_made_again(published, spoil):
    whole, path = tree(published), published / "a.summary.json"
    path.write_text(spoil(path.read_text()))

    with pytest.raises(StorageError, match="is not a readable summary"):
        SegmentationSummary.read(path)
    run(published)
    assert tree(published) == whole


def test_a_slide_finds_its_files_again_when_their_summary_is_gone(published):
    whole = tree(published)
    (published / "a.summary.json").unlink()

    run(published)

    assert tree(published) == whole


def test_files_of_a_stranger_are_left_alone(published):
    assert results_stem(published, "a", "b" * 64) == "a.bbbbbbbb"
    (published / "a.summary.json").unlink()
    (published / "a.parquet").write_bytes(b"somebody's own")

    assert results_stem(published, "a", SLIDE) == f"a.{SLIDE[:8]}"


def test_a_publication_that_lost_a_file_is_left_out_and_made_anew(published):
    whole = tree(published)
    shutil.rmtree(published)
    (published / SCRATCH).mkdir(parents=True)
    folder = staged(published)
    lost = {"name": "a", "files": {".parquet": "0" * 64, ".summary.json": "0" * 64}}
    (folder / "publication.json").write_text(json.dumps(lost))

    run(published)

    assert tree(published) == whole


def test_a_name_without_room_for_endings_is_refused_before_anything_is_made(tmp_path):
    """A file may have 249 bytes of name; in Japanese that is 83 letters."""
    for stem in ("a" * 245, "組" * 80):
        with pytest.raises(StorageError, match=r"has 24\d bytes, and at most 210 .* Rename"):
            results_stem(tmp_path, stem, SLIDE)
    assert results_stem(tmp_path, "a" * 210, SLIDE) == "a" * 210
