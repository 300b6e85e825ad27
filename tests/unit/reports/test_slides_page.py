"""Slides side by side: who is unlike the others."""

import pytest

from hoverfast_platform.errors import StorageError
from hoverfast_platform.reports.slides_page import find_outliers, write_slides_page


def rows(*densities, **more):
    return [
        {"slide": f"s{i}", "n_nuclei": 9, "nuclei_per_mm2": density, **more}
        for i, density in enumerate(densities)
    ]


def absent(folder):
    """Tables that are not there, of six slides."""
    return {f"s{i}": folder / f"s{i}.parquet" for i in range(6)}


def test_a_slide_unlike_the_others_is_named():
    (found,) = find_outliers(rows(5000, 5200, 4900, 5100, 5050, 900, None))

    assert (found.slide, found.figure, found.value) == ("s5", "nuclei_per_mm2", 900)
    assert found.score < -3.5


@pytest.mark.parametrize("densities", [(5000, 5000, 9000), (5000,) * 8])
def test_few_or_equal_slides_have_no_outliers(densities):
    assert find_outliers(rows(*densities)) == []


def test_the_page_holds_tables_and_says_which_maps_are_missing(tmp_path):
    path = write_slides_page(
        tmp_path / "slides.html", rows(5000, 5200, 4900, 5100, 5050, 900), absent(tmp_path)
    )

    page = path.read_text("utf-8")
    assert "robust deviations" in page
    assert "no map of s3" in page
    assert "http" not in page.replace("http://www.w3.org", "")


def test_the_page_compares_cohorts_and_says_who_is_in_none(tmp_path):
    cohorts = {"s0": ("old",), "s1": ("old",), "s2": ("new",), "s3": ("new",), "s4": ("new",)}
    path = write_slides_page(tmp_path / "p.html", rows(1, 2, 3, 4, 5, 6), absent(tmp_path), cohorts)

    page = path.read_text("utf-8")
    assert "1 slides are in no cohort" in page
    assert "Slide by slide: new" in page
    assert "Slide by slide: of no cohort" in page
    assert page.index("no map of s4") < page.index("no map of s0") < page.index("no map of s5")


def test_a_page_of_no_slides_is_refused(tmp_path):
    with pytest.raises(StorageError, match="no slides"):
        write_slides_page(tmp_path / "slides.html", [], {})
