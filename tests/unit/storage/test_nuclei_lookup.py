import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely

from hoverfast_platform.errors import StorageError
from hoverfast_platform.storage.nuclei_lookup import NucleiLookup, Place
from hoverfast_platform.storage.nuclei_table import nuclei_of_rows, write_nuclei_table
from tests.builders import NAMESPACE, squares


def moved(nuclei, dx, dy):
    by = np.array([dx, dy])
    return dataclasses.replace(
        nuclei, centroid_xy=nuclei.centroid_xy + by, vertices_xy=nuclei.vertices_xy + by
    )


@pytest.fixture
def table(tmp_path):
    """Three blocks of 5 squares each, 10 px wide and 20 px apart, far below one another."""
    nuclei = squares(5)
    path = tmp_path / "n.parquet"
    blocks = [moved(nuclei, 0, y) for y in (0, 1000, 3000)]
    write_nuclei_table(path, blocks, list(nuclei.measurements), metadata={}, namespace=NAMESPACE)
    return path


def test_a_place_gives_the_nuclei_that_reach_into_it(table):
    lookup = NucleiLookup(table, reach_px=20)
    found = lookup.within(Place(25, 1005, 45, 1100))
    assert found.rows.tolist() == [6, 7]
    assert found.nuclei.centroid_xy[:, 1].min() > 1000
    assert found.nuclei.ring(0)[:, 0].min() == 20


def test_an_outline_that_only_begins_outside_belongs_to_both_places(table):
    lookup = NucleiLookup(table, reach_px=20)
    left, right = lookup.within(Place(0, 0, 5, 50)), lookup.within(Place(5, 0, 18, 50))
    assert left.rows.tolist() == right.rows.tolist() == [0]


def test_only_blocks_of_the_place_are_read(table, monkeypatch):
    lookup = NucleiLookup(table, reach_px=20)
    read = []
    whole = lookup._read
    monkeypatch.setattr(lookup, "_read", lambda g, c: read.append(g) or whole(g, c))
    lookup.within(Place(0, 2900, 100, 3100))
    assert read == [2]


def test_an_empty_place_has_no_nuclei(table):
    found = NucleiLookup(table, reach_px=20).within(Place(0, 5000, 100, 6000))
    assert len(found.nuclei) == len(found.rows) == 0


def test_rows_have_the_ids_of_the_table(table):
    lookup = NucleiLookup(table, reach_px=20)
    name, nucleus = lookup.row(11)
    assert lookup.ids(np.array([11, 3])) == [name, lookup.row(3)[0]]
    assert nucleus.centroid_xy[0, 1] > 3000
    with pytest.raises(StorageError, match="has the number 15"):
        lookup.row(15)


def test_a_file_that_is_not_a_table_is_refused(tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"PAR1 not")
    with pytest.raises(StorageError, match="not a readable nuclei table"):
        NucleiLookup(tmp_path / "x.parquet", 20)


def test_outlines_cut_out_of_the_column_are_those_that_shapely_reads(tmp_path):
    """Rows of our own form, a slice of them, and rows that another program wrote anew."""
    nuclei = squares(5)
    path = tmp_path / "n.parquet"
    write_nuclei_table(path, [nuclei], list(nuclei.measurements), metadata={}, namespace=NAMESPACE)
    ours = pq.read_table(path)
    big_endian = shapely.to_wkb(shapely.from_wkb(ours["geometry"].to_pylist()), byte_order=0)
    foreign = ours.set_column(1, "geometry", pa.array(list(big_endian), pa.binary()))
    mixed = pa.concat_tables([ours.slice(1, 2), foreign.slice(3, 2)])
    for table, kept in ((ours, range(5)), (ours.slice(2, 2), (2, 3)), (mixed, range(1, 5))):
        found, wanted = nuclei_of_rows(table), nuclei.take(np.array(kept))
        np.testing.assert_array_equal(found.vertices_xy, wanted.vertices_xy)
        np.testing.assert_array_equal(found.ring_starts, wanted.ring_starts)
        np.testing.assert_array_equal(found.centroid_xy, wanted.centroid_xy)


def test_measurements_are_read_only_where_they_are_asked_for(table):
    lookup = NucleiLookup(table, reach_px=20)
    place = Place(25, 1005, 45, 1100)
    assert lookup.within(place).nuclei.measurements == {}
    assert lookup.within(place, "area_um2").nuclei.measurements["area_um2"].tolist() == [6.5, 6.5]
