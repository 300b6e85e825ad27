import copy
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from hoverfast_platform.config import Compute
from hoverfast_platform.errors import ComputeError, SettingsError
from hoverfast_platform.hv.decode import decodable_maps
from hoverfast_platform.inference.backends import devices
from hoverfast_platform.inference.backends.choice import make_predictor
from hoverfast_platform.inference.backends.devices import resolve_devices
from hoverfast_platform.inference.backends.openvino_predictor import (
    OpenVinoPredictor,
    openvino_graph,
)
from hoverfast_platform.inference.backends.plain_network import PlainNetwork
from hoverfast_platform.inference.backends.torch_predictor import (
    Lane,
    TorchPredictor,
    filling_batch,
    predict_halving,
)
from hoverfast_platform.model.batch_norms import fold_batch_norms
from hoverfast_platform.model.checkpoint import load_model
from hoverfast_platform.signal_stack import signal_stack_address


@pytest.fixture(scope="module")
def model():
    return load_model("cross-organ")


def test_both_backends_predict_the_same_maps(model):
    """OpenVINO is the fast path on a CPU; half-precision output leaves 1e-3."""
    regions = np.random.default_rng(0).integers(0, 256, (2, 128, 192, 3), dtype=np.uint8)

    slow = TorchPredictor(model, Compute(), ("cpu",)).predict(regions)
    fast = OpenVinoPredictor(openvino_graph(model), model, "fp32").predict(regions)

    assert slow.shape == fast.shape == (2, 2, 128, 192)
    assert slow.dtype == fast.dtype == np.float16
    assert np.abs(slow.astype(np.float32) - fast.astype(np.float32)).max() < 4e-3


def test_openvino_leaves_no_stack_for_signals_that_ends_with_it(model):
    """On processors with AMX it sets one; Ctrl-C after its end would be a segmentation fault."""
    regions = np.zeros((1, 64, 96, 3), np.uint8)

    OpenVinoPredictor(openvino_graph(model), model, "fp32").predict(regions)

    assert signal_stack_address() is None


def test_a_plain_network_predicts_an_image_of_any_size_as_the_other_backends_do(model):
    """Training judges a network by this one, slides are segmented by the others."""
    rgb = np.random.default_rng(0).integers(0, 256, (1, 128, 192, 3), dtype=np.uint8)
    samples = [rgb[0, :96, :160] // 2]

    plain = PlainNetwork(model.network).adapted_to(samples, 0.4)
    other = TorchPredictor(model, Compute(), ("cpu",)).adapted_to(samples, 0.4)

    found = decodable_maps(plain.predict(rgb)[0])
    assert np.abs(found - other.predict(rgb)[0]).max() < 4e-3
    odd = plain.predict(rgb[:, :, :165])
    assert odd.shape == (1, 3, 128, 165)
    far = model.network.architecture.receptive_radius_px
    inside = slice(0, 165 - far)
    assert np.abs(odd[..., inside] - plain.predict(rgb)[..., inside]).max() < 1e-4


def test_batch_norms_taken_into_convolutions_leave_the_maps(model):
    """The same sums rounded otherwise; maps leave in half precision, which resolves 5e-4 at 1."""
    network = copy.deepcopy(model.network).eval()
    rgb = torch.rand(1, 3, 64, 96)

    with torch.inference_mode():
        before = network(rgb)
        fold_batch_norms(network)
        after = network(rgb)

    assert not any(isinstance(layer, torch.nn.BatchNorm2d) for layer in network.modules())
    for one, other in zip(before, after, strict=True):
        assert (one - other).abs().max() < 1e-4


def test_batch_is_halved_until_it_fits():
    tried = []

    def predict(regions):
        tried.append(len(regions))
        if len(regions) > 2:
            raise torch.OutOfMemoryError
        return regions[:, None, :, :, 0].astype(np.float16).repeat(2, axis=1)

    regions = np.arange(5 * 4, dtype=np.uint8).reshape(5, 2, 2, 1)

    maps = predict_halving(predict, regions)

    assert maps.shape == (5, 2, 2, 2)
    assert np.array_equal(maps[:, 0].ravel(), np.arange(20))
    assert tried == [5, 2, 3, 1, 2]


def test_one_region_that_does_not_fit_is_an_error():
    def predict(_regions):
        raise torch.OutOfMemoryError

    with pytest.raises(ComputeError, match="tile-size"):
        predict_halving(predict, np.zeros((1, 8, 8, 3), np.uint8))


def test_batch_fills_a_gpu_whatever_the_region():
    assert filling_batch((1216, 1216)) == 9
    assert filling_batch((4096, 4096)) == 1
    assert filling_batch((64, 64)) == 64


def test_maps_of_a_region_do_not_depend_on_those_it_comes_with():
    """Whatever a graph makes of several regions at once: its sums differ in half precision."""

    def less_the_mean_of_all(pixels):
        maps = pixels[..., :2].permute(0, 3, 1, 2).float()
        return maps - maps.mean()

    lane = Lane(less_the_mean_of_all, "cpu")
    regions = np.random.default_rng(0).integers(0, 256, (5, 16, 24, 3), dtype=np.uint8)

    together = lane.predict(regions)
    by_two = [lane.predict(regions[i : i + 2]) for i in (0, 2, 4)]
    alone = [lane.predict(regions[i : i + 1]) for i in range(5)]

    assert together.tobytes() == np.concatenate(by_two).tobytes()
    assert together.tobytes() == np.concatenate(alone).tobytes()


def test_lanes_take_turns_when_memory_is_for_one(model, monkeypatch):
    """Two lanes that do not fit side by side: each batch is predicted once it has the device."""
    predictor = TorchPredictor(model, Compute(), ("cpu",))
    predictor._free.put(Lane(lambda pixels: pixels[..., :2].permute(0, 3, 1, 2), "cpu"))
    predictor.n_concurrent = 2
    inside, refused = [], []
    both_came = threading.Barrier(2)

    def predict(_lane, regions):
        inside.append(1)
        try:
            if len(refused) < 2:
                refused.append(len(inside))
                both_came.wait(10)
                raise torch.OutOfMemoryError
            assert len(inside) == 1
            return regions
        finally:
            inside.pop()

    monkeypatch.setattr(Lane, "predict", predict)
    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(predictor.predict, [np.zeros(1), np.ones(1)]))

    assert [array.tolist() for array in found] == [[0], [1]]
    assert predictor._free.qsize() == 2


def test_region_too_large_for_the_device_is_an_error(model, monkeypatch):
    predictor = TorchPredictor(model, Compute(), ("cpu",))

    def predict(_lane, _regions):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(Lane, "predict", predict)

    with pytest.raises(ComputeError, match=r"8x8 px.*tile-size"):
        predictor.predict(np.zeros((4, 8, 8, 3), np.uint8))
    assert predictor._free.qsize() == 1


def test_missing_device_is_refused(model):
    with pytest.raises(SettingsError, match="cuda:99"):
        make_predictor(model, Compute(device="cuda:99"))
    with pytest.raises(SettingsError, match="fp16"):
        make_predictor(model, Compute(device="cpu", precision="fp16"))


class Brightness:
    """A graph whose maps say which region they are of."""

    def __init__(self):
        self.seen = []

    def __call__(self, pixels):
        self.seen.append(pixels)
        return pixels.float().mean(dim=3)[:, None].repeat(1, 2, 1, 1) / 255


def flat_regions(*values):
    return np.stack([np.full((4, 6, 3), value, np.uint8) for value in values])


def test_a_lane_uses_its_buffers_again_and_gives_maps_away():
    """Full batches, the shorter last one, then another shape."""
    lane = Lane(Brightness(), "cpu")
    first = lane.predict(flat_regions(0, 51, 255))
    buffer = lane.maps.data_ptr()

    second = lane.predict(flat_regions(102))
    other = lane.predict(np.zeros((1, 8, 8, 3), np.uint8))

    assert first[:, 0, 0, 0] == pytest.approx([0, 0.2, 1], abs=1e-3)  # not overwritten by later
    assert second.shape == (1, 2, 4, 6)
    assert second[0, 1, 3, 5] == pytest.approx(0.4, abs=1e-3)
    assert other.shape == (1, 2, 8, 8)
    assert lane.maps.data_ptr() != buffer


def test_lanes_are_lent_to_one_batch_at_a_time(model):
    """As two GPUs would be: more threads than lanes, each gets the maps of its own regions."""
    predictor = TorchPredictor(model, Compute(precision="fp32"), ("cpu", "cpu"))
    busy, most = [], []

    class Watched(Brightness):
        def __call__(self, pixels):
            busy.append(1)
            most.append(len(busy))
            time.sleep(0.01)
            busy.pop()
            return super().__call__(pixels)

    while not predictor._free.empty():
        predictor._free.get()
    for _ in range(predictor.n_concurrent):
        predictor._free.put(Lane(Watched(), "cpu"))

    with ThreadPoolExecutor(6) as threads:
        maps = list(threads.map(predictor.predict, [flat_regions(i) for i in range(40)]))

    assert [m[0, 0, 0, 0] for m in maps] == pytest.approx(np.arange(40) / 255, abs=1e-3)
    assert max(most) <= predictor.n_concurrent == 2


def test_what_the_network_computes_on_is_channels_last(model):
    """Pixels seen as (N, 3, H, W) are so without a copy, and the weights are laid out to match."""
    predictor = TorchPredictor(model, Compute(precision="fp32"), ("cpu",))
    seen = []
    graph = predictor._free.get()._graph
    graph[0].network.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))

    graph(torch.zeros((2, 32, 48, 3), dtype=torch.uint8))

    assert seen[0].shape == (2, 3, 32, 48)
    assert seen[0].is_contiguous(memory_format=torch.channels_last)
    weight = max(graph[0].network.parameters(), key=lambda p: p.numel() if p.dim() == 4 else 0)
    assert weight.is_contiguous(memory_format=torch.channels_last)


def test_compiling_is_asked_for_and_recorded(model, monkeypatch):
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda graph, **_: compiled.append(graph) or graph)

    plain = TorchPredictor(model, Compute(), ("cpu",))
    assert (compiled, plain.arithmetic) == ([], "torch fp32")
    assert TorchPredictor(model, Compute(compile=True), ("cpu",)).arithmetic.endswith("compiled")
    assert len(compiled) == 1


def test_without_a_driver_of_an_accelerator_torch_is_not_asked(monkeypatch, tmp_path):
    monkeypatch.setattr(devices, "_ACCELERATORS", (tmp_path / "nvidiactl",))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: pytest.fail("torch was asked"))

    assert resolve_devices("auto") == ("cpu",)
    assert resolve_devices("cpu") == ("cpu",)


def test_device_lists(monkeypatch, tmp_path):
    (tmp_path / "nvidiactl").touch()
    monkeypatch.setattr(devices, "_ACCELERATORS", (tmp_path / "nvidiactl",))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)

    assert resolve_devices("auto") == ("cuda:0",)
    assert resolve_devices("cuda:2, cuda:0") == ("cuda:2", "cuda:0")
    assert resolve_devices("cuda:all") == ("cuda:0", "cuda:1", "cuda:2")
    for wrong in ("cuda:0,cuda", "cuda:0,cpu", "cuda:3", "cuda:x", "cpu,cpu"):
        with pytest.raises(SettingsError):
            resolve_devices(wrong)


def test_all_gpus_of_a_machine_without_one_are_refused():
    with pytest.raises(SettingsError, match="0 CUDA devices"):
        resolve_devices("cuda:all")
