"""Nuclei are counted by their centroids, per region and class."""

import itertools

import numpy as np
import pytest
import shapely

from hoverfast_platform.config import Staining
from hoverfast_platform.geometry import Mpp
from hoverfast_platform.mask.tissue_mask import TissueMask
from hoverfast_platform.regions.counting import NucleiColumns, RegionCounter
from hoverfast_platform.regions.reading import Region, RegionFrame
from hoverfast_platform.regions.region_table import (
    SlideFigures,
    as_table,
    read_region_table,
    update_region_table,
    write_region_table,
)

MPP = Mpp(0.5, 0.25)
RING = np.array([[10, 10], [310, 40], [260, 190], [140, 90], [30, 180], [10, 10]], float)
REGION = Region(1, "bent", "Tumor", shapely.Polygon(RING, [shapely.box(60, 50, 90, 80).exterior]))


def nuclei(n=500, classes=None):
    rng = np.random.default_rng(3)
    return NucleiColumns(
        rng.uniform((0, 0), (400, 200), (n, 2)),
        {
            "area_um2": rng.uniform(10, 60, n).astype(np.float32),
            "dab_od_mean": rng.uniform(0, 1, n).astype(np.float32),
        },
        None if classes is None else rng.choice(np.array(classes, object), n),
    )


def crossed_by_a_ray(x, y):
    """Whether a point lies in the region: sides that a ray to the right crosses are odd."""
    rings = (RING, np.array([[60, 50], [90, 50], [90, 80], [60, 80], [60, 50]], float))
    n = 0
    for ring in rings:
        for (ax, ay), (bx, by) in itertools.pairwise(ring):
            if (ay > y) != (by > y) and x < ax + (y - ay) * (bx - ax) / (by - ay):
                n += 1
    return n % 2 == 1


def test_nuclei_in_a_region_are_those_an_independent_count_finds():
    given = nuclei()
    expected = [crossed_by_a_ray(x, y) for x, y in given.centroid_xy]

    (figures,) = RegionCounter(given, MPP).in_region(REGION)

    assert figures.n_nuclei == sum(expected) > 50
    area_um2 = given.measurements["area_um2"][np.array(expected)]
    assert figures.distributions["area_um2"].mean == pytest.approx(area_um2.mean(), rel=1e-4)
    assert figures.region_area_mm2 == pytest.approx(REGION.geometry.area * 0.125e-6)
    assert (figures.tissue_area_mm2, figures.nuclei_per_mm2) == (None, None)


def test_density_is_per_usable_tissue_in_the_region():
    is_tissue = np.zeros((20, 40), np.bool_)
    is_tissue[:10] = True
    mask = TissueMask(is_tissue, 400, 200, MPP, "builtin")

    (figures,) = RegionCounter(nuclei(), MPP, mask).in_region(REGION)

    upper = REGION.geometry.intersection(shapely.box(0, 0, 400, 100)).area * 0.125e-6
    assert figures.tissue_area_mm2 == pytest.approx(upper)
    assert figures.nuclei_per_mm2 == pytest.approx(figures.n_nuclei / upper)
    assert figures.nuclei_per_region_mm2 < figures.nuclei_per_mm2


def test_a_region_without_nuclei_has_a_row_that_says_zero():
    empty = Region(2, "empty", "", shapely.box(1000, 1000, 1100, 1100))

    (figures,) = RegionCounter(nuclei(), MPP, staining=Staining(stain="ihc_dab")).in_region(empty)

    assert figures.n_nuclei == 0
    assert figures.nuclei_per_region_mm2 == 0
    assert figures.dab.h_score is None


def test_a_nucleus_on_the_border_belongs_to_both_regions():
    one = NucleiColumns(np.array([[100.0, 50.0]]), {})
    left, right = shapely.box(0, 0, 100, 100), shapely.box(100, 0, 200, 100)

    counts = [
        next(RegionCounter(one, MPP).in_region(Region(1, "", "", side))).n_nuclei
        for side in (left, right)
    ]

    assert counts == [1, 1]


def test_every_class_of_the_slide_has_a_row_in_every_region():
    given = nuclei(classes=["Tumour", "Lymphocyte"])
    nothing = Region(2, "empty", "", shapely.box(1000, 1000, 1100, 1100))
    counter = RegionCounter(given, MPP)

    inside = list(counter.in_region(REGION))

    assert [row.nucleus_class for row in inside] == ["", "Lymphocyte", "Tumour"]
    assert inside[0].n_nuclei == inside[1].n_nuclei + inside[2].n_nuclei
    assert [row.n_nuclei for row in counter.in_region(nothing)] == [0, 0, 0]


def test_one_class_for_all_nuclei_tells_nothing_apart():
    counter = RegionCounter(nuclei(classes=["Nucleus"]), MPP)

    assert [row.nucleus_class for row in counter.in_region(REGION)] == [""]


def test_positive_fraction_and_h_score_are_those_of_the_region():
    staining = Staining(stain="ihc_dab")
    given = nuclei()

    (figures,) = RegionCounter(given, MPP, staining=staining).in_region(REGION)

    inside = [crossed_by_a_ray(x, y) for x, y in given.centroid_xy]
    dab = given.measurements["dab_od_mean"][inside]
    assert figures.dab.positive_fraction == pytest.approx((dab >= 0.2).mean())
    shares = [(dab >= limit).mean() for limit in (0.2, 0.4, 0.6)]
    assert figures.dab.h_score == pytest.approx(100 * sum(shares))


def figures_of(slide, **how):
    counter = RegionCounter(nuclei(**how), MPP, staining=Staining(stain="ihc_dab"))
    rows = (*counter.in_region(REGION), *counter.on_slide(RegionFrame(slide, 400, 200, MPP)))
    return SlideFigures(slide, "a" * 64, rows)


def test_the_table_has_a_row_for_each_region_of_each_slide():
    table = as_table([figures_of("a"), figures_of("b")])

    assert table["slide"].to_pylist() == ["a", "a", "b", "b"]
    assert table["region_number"].to_pylist() == [1, 0, 1, 0]
    assert table.column_names[-1] == "remarks"
    assert {"area_um2_p95", "dab_od_mean_p50", "h_score"} <= set(table.column_names)


def test_rows_of_other_slides_stay_in_the_folders_table(tmp_path):
    update_region_table(tmp_path, [figures_of("a"), figures_of("b")])

    csv, parquet = update_region_table(tmp_path, [figures_of("b", n=7)])

    rows = read_region_table(parquet)
    assert [(row["slide"], row["region_number"]) for row in rows] == [
        ("a", 0), ("a", 1), ("b", 0), ("b", 1)
    ]  # fmt: skip
    assert [row["n_nuclei"] for row in rows if row["region_number"] == 0] == [500, 7]
    assert csv.read_text().count("\n") == 5


def test_the_table_of_no_nuclei_is_a_table(tmp_path):
    write_region_table(tmp_path / "t.csv", [figures_of("a", n=0)])

    assert '"a"' in (tmp_path / "t.csv").read_text()
