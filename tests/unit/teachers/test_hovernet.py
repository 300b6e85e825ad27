"""HoVer-Net: the paper's parameter table, published checkpoints, windows without seams."""

import cv2
import numpy as np
import pytest
import torch

from hoverfast_platform.errors import CheckpointError
from hoverfast_platform.hv.encode import encode_hv_maps
from hoverfast_platform.teachers.hovernet.checkpoint import load_hovernet
from hoverfast_platform.teachers.hovernet.network import HoverNet, SamePadding
from hoverfast_platform.teachers.hovernet.post_processing import decode_as_hovernet
from hoverfast_platform.teachers.hovernet.teacher import HoverNetTeacher


def n_parameters(module):
    return sum(p.numel() for p in module.parameters())


@pytest.fixture(scope="module")
def fast():
    torch.manual_seed(0)
    return HoverNet("fast").eval()


@pytest.fixture(scope="module")
def checkpoint(fast, tmp_path_factory):
    """A file as vqdang/hover_net writes it, with a type branch and its constants."""
    weights = dict(fast.state_dict())
    weights["upsample2x.unpool_mat"] = torch.ones(2, 2)
    weights |= {
        name.replace("decoder.np.", "decoder.tp."): tensor
        for name, tensor in fast.state_dict().items()
        if name.startswith("decoder.np.")
    }
    path = tmp_path_factory.mktemp("hovernet") / "fast_typed.tar"
    torch.save({"desc": {f"module.{k}": v for k, v in weights.items()}}, path)
    return path


def test_parameters_are_those_of_the_papers_appendix(fast):
    assert n_parameters(fast) == 33_625_412
    assert n_parameters(HoverNet("original")) == 45_028_676
    assert n_parameters(fast.conv0) == 9_408 + 128
    groups = {
        fast.d0: [57_600, 70_400, 70_400],
        fast.d1: [246_272, *[280_064] * 3],
        fast.d2: [984_064, *[1_117_184] * 5],
        fast.d3: [3_934_208, *[4_462_592] * 2],
    }
    for group, units in groups.items():
        assert [n_parameters(unit) for unit in group.units] == units
    shortcuts = {fast.d0: 16_384, fast.d1: 131_072, fast.d2: 524_288, fast.d3: 2_097_152}
    for group, shortcut in shortcuts.items():
        assert n_parameters(group.shortcut) == shortcut
    assert n_parameters(fast.conv_bot) == 2_097_152
    for name in ("np", "hv"):
        decoder = fast.decoder[name]
        assert n_parameters(decoder.u3) == 3_080_960
        assert n_parameters(decoder.u2) == 785_280
        assert n_parameters(decoder.u1) == 147_456
        assert n_parameters(decoder.u0) == 258


@pytest.mark.parametrize(("mode", "seen", "predicted"), [("fast", 256, 164), ("original", 270, 80)])
def test_sizes_of_the_modes(mode, seen, predicted):
    with torch.device("meta"):  # shapes alone: the windows of both modes are square
        network = HoverNet(mode).eval()
        maps = network(torch.zeros(1, 3, seen, seen))

    assert maps.shape == (1, 3, predicted, predicted)
    assert network.geometry.margin_px == (seen - predicted) // 2


@pytest.mark.parametrize(("size", "stride", "expected"), [(8, 2, 9), (7, 2, 9), (7, 1, 9)])
def test_padding_is_tensorflows(size, stride, expected):
    padded = SamePadding(3, stride)(torch.zeros(1, 1, size, size + 4))

    assert padded.shape[2:] == (expected, expected + 4)


def test_published_checkpoint_loads_and_types_are_left_out(fast, checkpoint):
    loaded = load_hovernet(checkpoint)

    assert loaded.mode == "fast"
    for name, tensor in fast.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "There is no file"),
        (b"cos\nsystem\n(S'true'\ntR.", "without running code"),
        (b"<html>", "a web page"),
        ({"model_dict": {}}, "no entry 'desc'"),
        ({"desc": {"d0.weight": torch.zeros(1)}}, "no HoVer-Net"),
        ({"desc": {"decoder.np.u3.conva.weight": torch.zeros(256, 1024, 3, 3)}}, "does not fit"),
    ],
)
def test_anything_else_is_refused(tmp_path, content, message):
    path = tmp_path / "x.tar"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)

    with pytest.raises(CheckpointError, match=message):
        load_hovernet(path)


def test_windows_lie_side_by_side(checkpoint):
    teacher = HoverNetTeacher(checkpoint, device="cpu")
    rgb = np.random.default_rng(0).integers(0, 256, (164, 200, 3), dtype=np.uint8)

    maps = teacher.predict_maps(rgb)

    padded = np.pad(rgb, ((46, 46), (46, 46 + 128), (0, 0)), mode="reflect")
    second = torch.from_numpy(padded[:256, 164 : 164 + 256]).permute(2, 0, 1)[None].float()
    with torch.inference_mode():
        expected = teacher.network(second)[0, :, :, :36].numpy()
    np.testing.assert_allclose(maps[:, :, 164:], expected, atol=1e-5)
    assert teacher.describe().name == "hovernet fast"


def test_reference_decoder_takes_touching_nuclei_apart():
    y, x = np.ogrid[:100, :140]
    truth = np.zeros((100, 140), dtype=np.int32)
    truth[(y - 50) ** 2 + (x - 40) ** 2 < 20**2] = 1
    truth[((y - 50) ** 2 + (x - 78) ** 2 < 20**2) & (truth == 0)] = 2

    found = decode_as_hovernet((truth > 0).astype(np.float32), encode_hv_maps(truth))

    assert len(np.unique(found)) == 3
    for nucleus in (1, 2):
        assert np.bincount(found[truth == nucleus]).max() / (truth == nucleus).sum() > 0.95


def test_reference_decoder_finds_nothing_in_nothing():
    assert not decode_as_hovernet(np.zeros((32, 40), np.float32), np.zeros((2, 32, 40))).any()


def test_opencv_still_has_the_wide_sobel_kernel():
    assert cv2.Sobel(np.zeros((24, 30)), cv2.CV_64F, 1, 0, ksize=21).shape == (24, 30)
