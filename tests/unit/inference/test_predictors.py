import numpy as np
import pytest
import torch

from hoverfast_platform.config import Compute
from hoverfast_platform.errors import ComputeError, SettingsError
from hoverfast_platform.inference.predictors import (
    OpenVinoPredictor,
    TorchPredictor,
    batch_for_memory,
    make_predictor,
    openvino_graph,
    predict_halving,
)
from hoverfast_platform.model.checkpoint import load_model


@pytest.fixture(scope="module")
def model():
    return load_model("cross-organ")


def test_both_backends_predict_the_same_maps(model):
    """OpenVINO is the fast path on a CPU; half-precision output leaves 1e-3."""
    regions = np.random.default_rng(0).integers(0, 256, (2, 128, 192, 3), dtype=np.uint8)

    slow = TorchPredictor(model, Compute(), "cpu").predict(regions)
    fast = OpenVinoPredictor(openvino_graph(model), "fp32").predict(regions)

    assert slow.shape == fast.shape == (2, 3, 128, 192)
    assert slow.dtype == fast.dtype == np.float16
    assert np.abs(slow.astype(np.float32) - fast.astype(np.float32)).max() < 4e-3


def test_batch_is_halved_until_it_fits():
    tried = []

    def predict(regions):
        tried.append(len(regions))
        if len(regions) > 2:
            raise torch.OutOfMemoryError
        return regions[:, None, :, :, 0].astype(np.float16).repeat(3, axis=1)

    regions = np.arange(5 * 4, dtype=np.uint8).reshape(5, 2, 2, 1)

    maps = predict_halving(predict, regions)

    assert maps.shape == (5, 3, 2, 2)
    assert np.array_equal(maps[:, 0].ravel(), np.arange(20))
    assert tried == [5, 2, 3, 1, 2]


def test_one_region_that_does_not_fit_is_an_error():
    def predict(_regions):
        raise torch.OutOfMemoryError

    with pytest.raises(ComputeError, match="tile-size"):
        predict_halving(predict, np.zeros((1, 8, 8, 3), np.uint8))


def test_batch_follows_free_memory():
    assert batch_for_memory(1, (1216, 1216)) == 1
    assert batch_for_memory(24 * 2**30, (1216, 1216)) > batch_for_memory(8 * 2**30, (1216, 1216))


def test_missing_device_is_refused(model):
    with pytest.raises(SettingsError, match="cuda:99"):
        make_predictor(model, Compute(device="cuda:99"))
    with pytest.raises(SettingsError, match="fp16"):
        make_predictor(model, Compute(device="cpu", precision="fp16"))
