import numpy as np
import pytest
from pydantic import ValidationError

from hoverfast_platform.config import Staining
from hoverfast_platform.storage.summary import DabPositivity


def test_h_score_counts_each_grade_by_its_strength():
    densities = np.array([0.0, 0.19, 0.2, 0.39, 0.4, 0.6, 0.9, -0.1, 0.1, 0.0])

    found = DabPositivity.of(densities, Staining(stain="ihc_dab"))

    assert (found.n_negative, found.n_weak, found.n_moderate, found.n_strong) == (5, 2, 1, 2)
    assert found.positive_fraction == 0.5
    assert found.h_score == pytest.approx(20 + 2 * 10 + 3 * 20)


def test_without_nuclei_there_is_no_fraction():
    found = DabPositivity.of(np.zeros(0), Staining(stain="ihc_dab"))

    assert found.positive_fraction is None
    assert found.h_score is None


def test_thresholds_must_ascend():
    with pytest.raises(ValidationError, match="ascend"):
        Staining(dab_weak_od=0.5, dab_moderate_od=0.4)
