"""A step of learning that fails: tried again only where that may help."""

import dagster as dg
import pytest

from hoverfast_platform.assets.failures import failures_by_kind
from hoverfast_platform.errors import ComputeError, TrainingError


@pytest.mark.parametrize(
    ("errors", "n_tried", "succeeds"),
    [
        ([ComputeError("out of memory")] * 2, 3, True),
        ([ComputeError("out of memory")] * 9, 3, False),
        ([TrainingError("no nuclei", "Label some.")], 1, False),
    ],
)
def test_what_may_pass_is_tried_again_and_the_rest_is_explained(errors, n_tried, succeeds):
    left, tried = list(errors), []

    @dg.asset
    def step():
        with failures_by_kind(pause_s=0):
            tried.append(1)
            if left:
                raise left.pop(0)

    result = dg.materialize([step], raise_on_error=False)

    assert (len(tried), result.success) == (n_tried, succeeds)
    if n_tried == 1:
        failure = result.failure_data_for_node("step").user_failure_data
        assert failure.description == "no nuclei"
        assert failure.metadata["remedy"].value == "Label some."
        assert failure.metadata["kind"].value == "training"
