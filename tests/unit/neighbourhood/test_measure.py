"""Neighbours are those that a plain search over all pairs finds."""

import numpy as np
import pytest

from hoverfast_platform.errors import StorageError
from hoverfast_platform.geometry import Mpp
from hoverfast_platform.mask.tissue_mask import TissueMask
from hoverfast_platform.neighbourhood.measure import (
    NEIGHBOURHOOD_COLUMNS,
    NeighbourhoodSettings,
    measure_neighbourhood,
)
from hoverfast_platform.neighbourhood.neighbour_table import (
    read_neighbour_table,
    write_neighbour_table,
)
from hoverfast_platform.storage.nuclei_table import write_nuclei_table
from tests.builders import NAMESPACE, squares

MPP = Mpp(0.25, 0.5)
SETTINGS = NeighbourhoodSettings(n_nearest=3, radius_um=20, max_edge_um=15)


def places(n=150):
    return np.random.default_rng(4).uniform((0, 0), (600, 200), (n, 2))


def test_distances_and_counts_are_those_of_all_pairs():
    points = places()
    apart = np.linalg.norm((points[:, None] - points[None]) * (0.25, 0.5), axis=2)
    np.fill_diagonal(apart, np.inf)

    found = measure_neighbourhood(points, MPP, settings=SETTINGS)

    nearest = np.sort(apart, axis=1)
    assert list(found) == list(NEIGHBOURHOOD_COLUMNS)
    assert np.allclose(found["nearest_um"], nearest[:, 0], rtol=1e-5)
    assert np.allclose(found["nearest_mean_um"], nearest[:, :3].mean(axis=1), rtol=1e-5)
    within = (apart <= 20).sum(axis=1)
    assert np.array_equal(found["n_within_radius"], within)
    circle_mm2 = np.pi * 20**2 * 1e-6
    assert np.allclose(found["local_density_per_mm2"], (within + 1) / circle_mm2, rtol=1e-5)


def test_a_grid_has_the_neighbours_one_sees():
    """A square with one point in the middle: four neighbours there, and the diagonals are short."""
    points = np.array([[0, 0], [40, 0], [0, 20], [40, 20], [20, 10]], float)  # 10 um a side

    found = measure_neighbourhood(points, MPP, settings=SETTINGS)

    assert found["delaunay_degree"].tolist() == [3, 3, 3, 3, 4]
    assert found["delaunay_mean_um"][4] == pytest.approx(50**0.5)
    far = NeighbourhoodSettings(n_nearest=1, radius_um=20, max_edge_um=8)
    assert measure_neighbourhood(points, MPP, settings=far)["delaunay_degree"].tolist() == [
        1, 1, 1, 1, 4
    ]  # fmt: skip


def test_density_is_per_tissue_at_its_edge():
    points = places(400)
    is_tissue = np.ones((100, 150), np.bool_)
    is_tissue[:, :75] = False
    mask = TissueMask(is_tissue, 600, 200, MPP, "builtin")
    on_edge = np.concatenate([points, [[301.0, 100.0]]])

    found = measure_neighbourhood(on_edge, MPP, mask, SETTINGS)

    circle_mm2 = np.pi * 20**2 * 1e-6
    n = found["n_within_radius"][-1] + 1
    assert found["local_density_per_mm2"][-1] == pytest.approx(2 * n / circle_mm2, rel=0.05)
    assert np.isnan(found["local_density_per_mm2"][points[:, 0].argmin()])


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_nuclei_have_no_triangles_and_lone_ones_no_distance(n):
    found = measure_neighbourhood(places(n), MPP, settings=SETTINGS)

    assert all(len(column) == n for column in found.values())
    assert np.isnan(found["delaunay_degree"]).all()
    assert np.isnan(found["nearest_um"]).all() == (n < 2)


def test_nuclei_on_one_line_have_distances_and_no_triangles():
    points = np.stack([np.arange(9.0) * 10, np.full(9, 5.0)], axis=1)

    found = measure_neighbourhood(points, MPP, settings=SETTINGS)

    assert (found["nearest_um"] == 2.5).all()
    assert np.isnan(found["delaunay_degree"]).all()


def test_a_table_of_another_result_is_refused(tmp_path):
    result = tmp_path / "a.b.parquet"
    write_nuclei_table(
        result, [squares(4)], list(squares(1).measurements), metadata={}, namespace=NAMESPACE
    )
    columns = measure_neighbourhood(squares(4).centroid_xy, MPP)
    path = write_neighbour_table(result, columns, "one", SETTINGS)

    assert path.name == "a.b.neighbours.parquet"
    assert read_neighbour_table(result, "one")["nearest_um"].tolist() == [5.0] * 4
    with pytest.raises(StorageError, match="belongs to another result"):
        read_neighbour_table(result, "other")
    path.unlink()
    with pytest.raises(StorageError, match=r"hoverfast neighbours a\.b\.parquet"):
        read_neighbour_table(result, "one")
