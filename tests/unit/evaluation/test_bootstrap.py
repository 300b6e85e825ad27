import numpy as np
import pytest

from hoverfast_platform.errors import ArrayContractError
from hoverfast_platform.evaluation.bootstrap import bootstrap_mean

RNG = np.random.default_rng(1)


def test_mean_is_over_images_and_inside_the_interval():
    found = bootstrap_mean([0.2, 0.4, 0.9], ["a", "a", "b"])

    assert found.mean == pytest.approx(0.5)
    assert found.low <= found.mean <= found.high
    assert (found.n_images, found.n_groups) == (3, 2)


def test_two_groups_give_means_of_either_or_both():
    found = bootstrap_mean([0.2, 0.4, 0.9], ["a", "a", "b"])

    assert (found.low, found.high) == pytest.approx((0.3, 0.9))  # a drawn twice, b drawn twice


def test_interval_of_many_independent_images_is_that_of_the_normal_law():
    values = RNG.normal(0.7, 0.1, 400)
    found = bootstrap_mean(values, [str(i) for i in range(400)])

    half = 1.96 * values.std() / 20
    assert found.low == pytest.approx(found.mean - half, abs=0.1 * half)
    assert found.high == pytest.approx(found.mean + half, abs=0.1 * half)


def test_images_that_resemble_each_other_by_patient_make_it_wider():
    per_patient = RNG.normal(0.7, 0.1, 8)
    values = np.repeat(per_patient, 20)
    patients = [str(i // 20) for i in range(160)]

    by_patient = bootstrap_mean(values, patients)
    by_image = bootstrap_mean(values, [str(i) for i in range(160)])

    assert by_patient.high - by_patient.low > 3 * (by_image.high - by_image.low)


def test_same_seed_same_interval():
    values, groups = RNG.random(30), [str(i % 7) for i in range(30)]

    assert bootstrap_mean(values, groups) == bootstrap_mean(values, groups)
    assert bootstrap_mean(values, groups) != bootstrap_mean(values, groups, seed=1)


def test_one_group_has_no_interval():
    found = bootstrap_mean([0.5, 0.7], ["a", "a"])

    assert (found.low, found.high) == (None, None)
    assert str(found) == "0.600"


@pytest.mark.parametrize(("values", "groups"), [([], []), ([0.5], ["a", "b"])])
def test_nothing_to_average_is_refused(values, groups):
    with pytest.raises(ArrayContractError, match="one value and one group"):
        bootstrap_mean(values, groups)
