"""The default model on real labelled tissue it never saw: a guard against silent loss."""

import pytest

from hoverfast_platform.config import Compute
from hoverfast_platform.evaluation.labelled_set import open_labelled_set
from hoverfast_platform.inference.engine import SegmentationEngine
from hoverfast_platform.inference.evaluate_model import evaluate_model


@pytest.mark.slow
def test_default_model_is_as_good_as_documented(shared_data):
    folder = shared_data / "annotated" / "tnbc"
    if not folder.is_dir():
        pytest.skip(f"labelled images not present: {folder}")
    dataset = open_labelled_set(folder, mpp=0.25, groups=["patient_03", "patient_09"])

    with SegmentationEngine.of("cross-organ", Compute(device="cpu", precision="fp32")) as engine:
        found = evaluate_model(engine, dataset)

    overall = found.overall()
    assert len(found.images) == 11
    assert found.n_true == 592
    assert overall["dice"].mean == pytest.approx(0.830, abs=0.005)
    assert overall["aji"].mean == pytest.approx(0.700, abs=0.01)
    assert overall["pq"].mean == pytest.approx(0.674, abs=0.02)
    assert overall["f1"].mean == pytest.approx(0.894, abs=0.01)
