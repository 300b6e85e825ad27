"""Models registered, promoted and rolled back from Python, without the command line."""

import pytest

from hoverfast_platform.catalogue import Catalogue
from hoverfast_platform.errors import SettingsError
from hoverfast_platform.use_cases.gpu_check import GpuCheckRequest, check_gpu
from hoverfast_platform.use_cases.model_making import adapt_model
from hoverfast_platform.use_cases.model_stages import (
    find_registered,
    register_model,
    roll_back,
)


@pytest.fixture
def catalogue(tmp_path):
    with Catalogue.open(tmp_path / "c.sqlite") as opened:
        yield opened


def test_a_registered_model_is_a_candidate_of_its_scope(catalogue):
    sha256 = register_model(catalogue, "cross-organ", scope="skin", reason="tried")

    (standing,) = catalogue.models.standings()
    assert (standing.sha256, standing.stage, standing.scope) == (sha256, "candidate", "skin")
    assert find_registered(catalogue, "cross-organ") == sha256


def test_rolling_back_without_a_reason_is_refused(catalogue):
    register_model(catalogue, "cross-organ")

    with pytest.raises(SettingsError, match="needs a reason"):
        roll_back(catalogue, "cross-organ", reason=" ")


def test_a_new_model_with_another_ending_is_refused_before_anything_is_read(tmp_path):
    with pytest.raises(SettingsError, match="must end in"):
        adapt_model("cross-organ", tmp_path / "absent.pytable", tmp_path / "new.pth")


def test_a_part_the_gpu_check_does_not_have_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="no part called sound"):
        check_gpu(GpuCheckRequest(tmp_path, tmp_path, parts=("sound",)))
