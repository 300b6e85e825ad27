import numpy as np
import pytest
from skimage.draw import ellipse
from skimage.measure import label, regionprops

from hoverfast_platform.geometry import Mpp
from hoverfast_platform.nuclei.measurements import measure_pixels, measure_polygons
from hoverfast_platform.stain import DAB, EOSIN, HEMATOXYLIN, stain_optical_density


@pytest.fixture
def region():
    """Ellipses of all kinds and directions, and noise to measure."""
    rng = np.random.default_rng(3)
    is_nucleus = np.zeros((300, 400), bool)
    for y in range(30, 300, 50):
        for x in range(30, 400, 50):
            rows, columns = ellipse(
                y, x, rng.uniform(2, 14), rng.uniform(2, 14), rotation=rng.uniform(-np.pi, np.pi)
            )
            is_nucleus[rows.clip(0, 299), columns.clip(0, 399)] = True
    is_nucleus[5, 5:11] = True  # a line, one pixel thick
    is_nucleus[12, 12] = True  # a single pixel
    return label(is_nucleus).astype(np.int32), rng.integers(0, 256, (300, 400, 3), np.uint8)


def rgb_of(vector, density):
    unit = np.array(vector) / np.linalg.norm(vector)
    return np.round(255 * 10.0 ** (-density * unit)).astype(np.uint8)


def test_shape_moments_equal_regionprops(region):
    instances, rgb = region
    slow = regionprops(instances)

    fast = measure_pixels(instances, np.array([p.label for p in slow]), rgb, "he")

    assert np.allclose(fast["eccentricity"], [p.eccentricity for p in slow], atol=1e-5)
    elongated = np.array([p.eccentricity > 0.3 for p in slow])
    # regionprops turns from the y axis, counter-clockwise.
    expected = np.array([(90 + np.degrees(p.orientation)) % 180 for p in slow])
    turn = (fast["orientation_deg"] - expected + 90) % 180 - 90
    assert np.abs(turn[elongated]).max() < 0.01


def test_stain_means_equal_the_plain_way(region):
    instances, rgb = region
    labels = np.array([3, 1, 20])  # any order, not all

    fast = measure_pixels(instances, labels, rgb, "ihc_dab")

    density = stain_optical_density(rgb, "ihc_dab").astype(np.float64)
    for row, number in enumerate(labels):
        inside = density[instances == number]
        assert fast["hematoxylin_od_mean"][row] == pytest.approx(inside[:, 0].mean(), abs=1e-5)
        assert fast["dab_od_mean"][row] == pytest.approx(inside[:, 1].mean(), abs=1e-5)
        assert fast["dab_od_sd"][row] == pytest.approx(inside[:, 1].std(), abs=1e-5)


@pytest.mark.parametrize(
    ("stain", "vector", "expected"),
    [
        ("he", HEMATOXYLIN, (0.5, 0)),
        ("he", EOSIN, (0, 0.5)),
        ("ihc_dab", HEMATOXYLIN, (0.5, 0)),
        ("ihc_dab", DAB, (0, 0.5)),
    ],
)
def test_a_pure_stain_is_found_as_itself(stain, vector, expected):
    assert stain_optical_density(rgb_of(vector, 0.5), stain) == pytest.approx(expected, abs=0.01)


def test_glass_has_no_density_and_black_a_finite_one():
    pixels = np.array([[255, 255, 255], [0, 0, 0]], np.uint8)

    density = stain_optical_density(pixels, "he")

    assert np.allclose(density[0], 0)
    assert np.isfinite(density).all()


def test_polygons_are_measured_in_micrometres_of_both_axes():
    rectangle = np.array([[0, 0], [10, 0], [10, 4], [0, 4], [0, 0]], float)
    arrow = np.array([[0, 0], [10, 0], [5, 2], [10, 10], [0, 10], [0, 0]], float)

    measured = measure_polygons(
        np.concatenate([rectangle, arrow]), np.array([0, 5, 11]), Mpp(0.5, 0.25)
    )

    assert measured["perimeter_um"][0] == pytest.approx(2 * (10 * 0.5 + 4 * 0.25))
    assert measured["solidity"] == pytest.approx([1, 0.75])


def test_no_nuclei_are_measured_as_none():
    blank = np.zeros((20, 24), np.int32)
    rgb = np.zeros((20, 24, 3), np.uint8)

    pixels = measure_pixels(blank, np.zeros(0, np.int64), rgb, "he")
    polygons = measure_polygons(np.zeros((0, 2)), np.zeros(1, np.int64), Mpp(1, 1))

    assert {len(column) for column in (pixels | polygons).values()} == {0}
