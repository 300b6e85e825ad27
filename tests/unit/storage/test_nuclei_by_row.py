import dataclasses

import numpy as np
import pytest

from hoverfast_platform.errors import StorageError
from hoverfast_platform.storage import nuclei_by_row
from hoverfast_platform.storage.nuclei_by_row import NucleiByRow
from hoverfast_platform.storage.nuclei_table import read_nuclei_table, write_nuclei_table
from tests.builders import NAMESPACE, squares


@pytest.fixture
def table(tmp_path):
    """Three blocks of 5 squares each."""
    nuclei = squares(5)
    blocks = [
        dataclasses.replace(
            nuclei,
            centroid_xy=nuclei.centroid_xy + np.array([0, y]),
            vertices_xy=nuclei.vertices_xy + np.array([0, y]),
        )
        for y in (0, 1000, 3000)
    ]
    path = tmp_path / "n.parquet"
    write_nuclei_table(path, blocks, list(nuclei.measurements), metadata={}, namespace=NAMESPACE)
    return path


@pytest.mark.parametrize("kept_vertices", [0, 4_000_000], ids=["one block kept", "all kept"])
def test_chosen_rows_are_those_of_the_whole_table_in_the_order_asked_for(
    table, monkeypatch, kept_vertices
):
    monkeypatch.setattr(nuclei_by_row, "_KEPT_VERTICES", kept_vertices)
    whole = read_nuclei_table(table)
    rows = np.array([14, 0, 7, 3, 8, 14])
    with NucleiByRow(table) as nuclei:
        found = nuclei.take(rows)
        assert len(nuclei) == 15
        np.testing.assert_array_equal(nuclei.centroid_xy, whole.centroid_xy)
        for ours, theirs in zip(nuclei.boxes_xy(), whole.boxes_xy(), strict=True):
            np.testing.assert_array_equal(ours, theirs)

    wanted = whole.take(rows)
    np.testing.assert_array_equal(found.vertices_xy, wanted.vertices_xy)
    np.testing.assert_array_equal(found.ring_starts, wanted.ring_starts)
    np.testing.assert_array_equal(found.centroid_xy, wanted.centroid_xy)
    assert found.decimals == wanted.decimals


def test_only_the_blocks_of_the_rows_are_held(table, monkeypatch):
    monkeypatch.setattr(nuclei_by_row, "_KEPT_VERTICES", 0)
    with NucleiByRow(table) as nuclei:
        nuclei.take(np.array([1, 13]))
        assert len(nuclei._kept) == 1


def test_no_rows_are_no_nuclei(table):
    with NucleiByRow(table) as nuclei:
        assert len(nuclei.take(np.zeros(0, np.int64))) == 0


def test_what_is_no_table_is_refused(tmp_path):
    (tmp_path / "n.parquet").write_bytes(b"PAR1")
    with pytest.raises(StorageError, match="not a readable nuclei table"):
        NucleiByRow(tmp_path / "n.parquet")


@pytest.mark.parametrize("read", [NucleiByRow, read_nuclei_table])
def test_names_of_columns_that_are_no_text_any_more_are_a_damaged_table(table, read):
    """Arrow raises UnicodeDecodeError, none of its own errors; found by fuzzing."""
    table.write_bytes(table.read_bytes().replace(b"centroid_x", b"\xffentroid_x"))

    with pytest.raises(StorageError, match="not a readable nuclei table"):
        read(table)
