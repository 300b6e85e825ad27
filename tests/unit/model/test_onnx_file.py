"""What another program gets from the ONNX file is what this platform computes."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from hoverfast_platform.errors import SettingsError
from hoverfast_platform.model import onnx_file
from hoverfast_platform.model.architecture import Architecture
from hoverfast_platform.model.card import ModelCard
from hoverfast_platform.model.checkpoint import load_model, save_model
from hoverfast_platform.model.network import HoverFast, MapsFromPixels
from hoverfast_platform.model.onnx_file import write_onnx
from hoverfast_platform.model.registry import available_models

onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

LEAN = Architecture(depth=2, first_filters=4, kernel_sizes=(3,), pixel_block=2, shares_decoder=True)


TWO_PATHS = Architecture(depth=2, first_filters=4)


@pytest.fixture(scope="module", params=[pytest.param(TWO_PATHS, marks=pytest.mark.slow), LEAN])
def written(request, tmp_path_factory):
    """A model and its ONNX file; writing takes seconds, so the tests share it."""
    folder = tmp_path_factory.mktemp("onnx")
    torch.manual_seed(3)
    card = ModelCard(name="small", version="1", mpp=0.5, architecture=request.param)
    save_model(folder / "small.safetensors", HoverFast(request.param), card)
    model = load_model(folder / "small.safetensors")
    write_onnx(model, folder / "small.onnx")
    return model, onnxruntime.InferenceSession(folder / "small.onnx")


def test_onnx_runtime_computes_what_torch_does(written):
    model, session = written
    multiple = model.card.architecture.multiple_px
    shape = (3, 7 * multiple, 11 * multiple, 3)  # not the size that was traced
    pixels = np.random.default_rng(5).integers(0, 256, shape, np.uint8)
    (maps,) = session.run(["maps"], {"pixels": pixels})
    with torch.inference_mode():
        expected = MapsFromPixels(model.network)(torch.from_numpy(pixels)).numpy()
    assert maps.shape == (3, 3, *shape[1:3])
    np.testing.assert_allclose(maps, expected, atol=1e-5)


def test_the_file_says_how_it_is_to_be_used(written):
    model, session = written
    metadata = session.get_modelmeta().custom_metadata_map
    assert metadata["weights_sha256"] == model.digest
    assert json.loads(metadata["card"])["mpp"] == 0.5
    assert "0.5 um per pixel" in metadata["preprocessing"]
    assert f"multiples of {model.card.architecture.multiple_px};" in metadata["preprocessing"]
    assert "0.45" in metadata["postprocessing"]


def test_without_the_package_the_remedy_is_named(tmp_path, monkeypatch, written):
    monkeypatch.setattr(onnx_file, "_NEEDED", ("onnx", "surely_not_installed"))
    with pytest.raises(SettingsError, match=r"surely_not_installed.*\[onnx\]"):
        write_onnx(written[0], tmp_path / "small.onnx")
    assert not (tmp_path / "small.onnx").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(available_models()))
def test_models_that_ship_run_without_this_platform(name, tmp_path):
    model = load_model(name)
    write_onnx(model, tmp_path / "m.onnx")
    multiple = model.network.architecture.multiple_px
    pixels = np.random.default_rng(0).integers(
        0, 256, (1, 3 * multiple, 5 * multiple, 3), dtype=np.uint8
    )

    (maps,) = onnxruntime.InferenceSession(tmp_path / "m.onnx").run(None, {"pixels": pixels})

    with torch.inference_mode():
        wanted = MapsFromPixels(model.network).eval()(torch.from_numpy(pixels)).numpy()
    np.testing.assert_allclose(maps, wanted, atol=2e-4)
