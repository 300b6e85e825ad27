import numpy as np
import pytest
import torch

from hoverfast_platform.errors import CheckpointError
from hoverfast_platform.model.architecture import Architecture
from hoverfast_platform.model.card import ModelCard
from hoverfast_platform.model.checkpoint import load_model, save_model
from hoverfast_platform.model.network import HoverFast
from hoverfast_platform.model.registry import DEFAULT_MODEL, available_models


def n_parameters(module):
    return sum(p.numel() for p in module.parameters())


def test_parameters_are_those_of_the_paper():
    network = HoverFast()

    encoder = [
        [n_parameters(b.conv_3), n_parameters(b.conv_7), n_parameters(b.conv)]
        for b in network.down_path
    ]
    decoder = [
        n for up in network.up_path for n in (n_parameters(up.up), n_parameters(up.conv_block))
    ]
    assert encoder == [[2832, 14992, 528], [14016, 75456, 2080], [55680, 301440, 8256]]
    assert decoder == [8224, 180640, 2064, 45264]
    assert n_parameters(network.last) == n_parameters(network.last_m) == 34
    assert n_parameters(network) == 947_732


LEAN = Architecture(depth=4, first_filters=8, kernel_sizes=(3,), pixel_block=2, shares_decoder=True)
WIDE = Architecture(depth=4, first_filters=4, kernel_sizes=(3, 5))


@pytest.mark.parametrize("architecture", [Architecture(), LEAN, WIDE])
def test_an_output_pixel_sees_no_further_than_the_stated_radius(architecture):
    torch.manual_seed(0)
    network = HoverFast(architecture).eval()
    pixels = torch.rand(1, 3, 288, 288, requires_grad=True)

    logits, hv_maps = network(pixels)
    (logits[0, :, 144:160, 144:160].sum() + hv_maps[0, :, 144:160, 144:160].sum()).backward()

    seen = np.flatnonzero(pixels.grad[0].abs().sum(dim=(0, 1)).numpy())
    reach = max(144 - seen.min(), seen.max() - 159)
    assert reach <= architecture.receptive_radius_px
    assert reach > architecture.receptive_radius_px / 2, "a radius that is far too large"


@pytest.mark.parametrize("architecture", [Architecture(), LEAN, WIDE])
def test_arithmetic_is_counted_as_the_convolutions_do_it(architecture):
    network = HoverFast(architecture).eval()
    total = 0

    def count(module, _, output):
        nonlocal total
        if isinstance(module, torch.nn.ConvTranspose2d):
            total += module.in_channels * output[0].numel()
        else:
            total += module.weight[0].numel() * output[0].numel()

    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            module.register_forward_hook(count)
    with torch.inference_mode():
        network(torch.rand(1, 3, 64, 96))

    assert architecture.multiplications_per_px() == pytest.approx(total / (64 * 96), rel=0.001)


@pytest.mark.parametrize("architecture", [Architecture(), LEAN, WIDE])
def test_maps_have_the_size_of_the_pixels(architecture):
    side = architecture.multiple_px
    logits, hv_maps = HoverFast(architecture).eval()(torch.rand(2, 3, 3 * side, 4 * side))

    assert logits.shape == hv_maps.shape == (2, 2, 3 * side, 4 * side)


def test_kernels_without_a_middle_are_refused():
    with pytest.raises(ValueError, match="odd"):
        Architecture(kernel_sizes=(3, 4))


def test_saved_model_loads_with_equal_weights(tmp_path):
    network = HoverFast().eval()
    save_model(tmp_path / "m.safetensors", network, ModelCard(name="m", version="1"))

    loaded = load_model(tmp_path / "m.safetensors")

    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, loaded.network.state_dict()[name])
    assert loaded.card.name == "m"


NARROW = HoverFast(Architecture(first_filters=8))


def published(**changes):
    content = {
        "model_dict": HoverFast().state_dict(),
        "n_classes": 2,
        "in_channels": 3,
        "padding": True,
        "depth": 3,
        "wf": 4,
        "up_mode": "upconv",
        "batch_norm": True,
        "conv_block": "msunet",
    }
    return content | changes


def test_published_format_loads(tmp_path):
    torch.save(published(), tmp_path / "p.pth")

    assert load_model(tmp_path / "p.pth").card.architecture == Architecture()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (published(conv_block="unet"), "another architecture"),
        (published(depth=4), "does not fit"),
        ({"desc": {}}, "missing"),
        (published(model_dict=NARROW.state_dict()), "does not fit"),
    ],
)
def test_other_architectures_are_refused(tmp_path, content, message):
    torch.save(content, tmp_path / "p.pth")

    with pytest.raises(CheckpointError, match=message):
        load_model(tmp_path / "p.pth")


def test_damaged_files_and_unknown_names_are_refused(tmp_path):
    (tmp_path / "x.pth").write_bytes(b"not a checkpoint")
    network = HoverFast()
    with torch.no_grad():
        network.last.bias[0] = float("nan")
    save_model(tmp_path / "nan.safetensors", network, ModelCard(name="m", version="1"))
    save_model(tmp_path / "cut.safetensors", HoverFast(), ModelCard(name="m", version="1"))
    cut = (tmp_path / "cut.safetensors").read_bytes()[:5000]
    (tmp_path / "cut.safetensors").write_bytes(cut)

    with pytest.raises(CheckpointError, match="cannot be read"):
        load_model(tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match="not finite"):
        load_model(tmp_path / "nan.safetensors")
    with pytest.raises(CheckpointError, match="safetensors"):
        load_model(tmp_path / "cut.safetensors")
    with pytest.raises(CheckpointError, match="no model named"):
        load_model("no-such-model")


def test_weights_of_nothing_but_zeros_are_said_to_be_the_fault(tmp_path):
    network = HoverFast()
    with torch.no_grad():
        network.last.weight.zero_()
    save_model(tmp_path / "zero.safetensors", network, ModelCard(name="m", version="1"))

    with pytest.raises(CheckpointError, match=r"nothing but zeros in last\.weight"):
        load_model(tmp_path / "zero.safetensors")


def test_default_model_ships_with_a_card_that_says_its_licence():
    card = available_models()[DEFAULT_MODEL]

    assert card.licence != "unknown"
    assert all(source.licence for source in card.labels)
