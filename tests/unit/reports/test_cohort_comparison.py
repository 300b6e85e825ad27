"""Cohorts of slides: each slide counts once, and no test is made where none is allowed."""

import pytest
from scipy import stats

from hoverfast_platform.errors import SettingsError
from hoverfast_platform.reports.cohort_comparison import compare_cohorts, read_cohorts

FIGURES = ["nuclei_per_mm2", "h_score"]


def rows(*values):
    return [{"slide": f"s{i}", "nuclei_per_mm2": value} for i, value in enumerate(values)]


def cohorts(**named):
    """Slides by number, for each cohort."""
    found = {}
    for name, numbers in named.items():
        for number in numbers:
            found[f"s{number}"] = (*found.get(f"s{number}", ()), name)
    return found


def test_two_cohorts_have_medians_a_test_and_how_often_one_has_more():
    (one,) = compare_cohorts(
        rows(10, 20, 30, 25, 40, 50, 60, None, 99), FIGURES, cohorts(a=[0, 1, 2], b=[3, 4, 5, 6, 7])
    )

    a, b = one.cohorts
    assert (a.cohort, a.n_slides, a.median, a.quartiles) == ("a", 3, 20, (15, 25))
    assert (b.cohort, b.n_slides, b.median) == ("b", 4, 45)
    assert one.superiority == pytest.approx(11 / 12)
    assert one.p_value == pytest.approx(stats.mannwhitneyu([10, 20, 30], [25, 40, 50, 60]).pvalue)


def test_three_cohorts_are_tested_together():
    (one,) = compare_cohorts(
        rows(*range(9)), FIGURES, cohorts(a=[0, 1, 2], b=[3, 4, 5], c=[6, 7, 8])
    )

    assert one.p_value == pytest.approx(stats.kruskal([0, 1, 2], [3, 4, 5], [6, 7, 8]).pvalue)
    assert one.superiority is None


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ((1, 2, 3, 4, 5), {"a": [0, 1], "b": [2, 3, 4]}),
        ((1, 2, 3, 4, 5, 6), {"a": [0, 1, 2, 3], "b": [3, 4, 5]}),
        ((7, 7, 7, 7, 7, 7), {"a": [0, 1, 2], "b": [3, 4, 5]}),
    ],
    ids=["too few slides", "a slide in both", "all equal"],
)
def test_no_test_is_made_where_none_is_allowed(values, named):
    (one,) = compare_cohorts(rows(*values), FIGURES, cohorts(**named))

    assert one.p_value is None


def test_a_figure_of_one_cohort_alone_is_not_compared():
    assert compare_cohorts(rows(1, 2, None, None), FIGURES, cohorts(a=[0, 1], b=[2, 3])) == []


def test_a_slide_may_be_in_several_cohorts(tmp_path):
    path = tmp_path / "cohorts.csv"
    path.write_text("\ufeffslide,cohort\nA 1,old\nA 1, new \nB,new\n", "utf-8")

    assert read_cohorts(path) == {"A 1": ("old", "new"), "B": ("new",)}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"slide;cohort\nA;old\n", "Row 2 of c.csv names no slide"),
        (b"slide,cohort\nA,\n", "Row 2"),
        (b"slide,cohort\n", "names no slide"),
        (b"slide,cohort\n\xff\xfe\n", "not a readable table"),
    ],
)
def test_what_is_no_table_of_cohorts_is_refused(tmp_path, content, message):
    path = tmp_path / "c.csv"
    path.write_bytes(content)

    with pytest.raises(SettingsError, match=message):
        read_cohorts(path)
