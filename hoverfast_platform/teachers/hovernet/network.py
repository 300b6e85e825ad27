"""The HoVer-Net network: pre-activation ResNet50 encoder, densely connected decoders.

Layer names are those of the released weights, odd ones included (``conv0./``). Convolutions in
the decoders are unpadded: the output is smaller than the input, by a border in which padding
would have spoilt the prediction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Mode = Literal["original", "fast"]


@dataclass(frozen=True)
class Geometry:
    """Sizes of a mode, pixels.

    Attributes:
        input_px: Side of the window the network sees.
        output_px: Side of what it predicts, the window's centre.
        decoder_kernel_px: Kernel size of the decoders' convolutions.
        is_stem_padded: Whether the first convolution keeps the size.
    """

    input_px: int
    output_px: int
    decoder_kernel_px: int
    is_stem_padded: bool

    @property
    def margin_px(self) -> int:
        """Border that is seen but not predicted."""
        return (self.input_px - self.output_px) // 2


GEOMETRY: dict[Mode, Geometry] = {
    "original": Geometry(270, 80, 5, is_stem_padded=False),
    "fast": Geometry(256, 164, 3, is_stem_padded=True),
}

_ENCODER = ((64, 64, 256, 3, 1), (256, 128, 512, 4, 2), (512, 256, 1024, 6, 2),
            (1024, 512, 2048, 3, 2))  # fmt: skip
"""Per group: channels in, within and out of a unit, number of units, stride of the first."""


class SamePadding(nn.Module):
    """Zeros around an image as TensorFlow's ``same`` puts them: the odd one below and right."""

    def __init__(self, kernel_px: int, stride: int = 1) -> None:
        super().__init__()
        self.kernel_px = kernel_px
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, H, W)`` of equal height and width, padded."""
        total = max(self.kernel_px - (x.shape[2] % self.stride or self.stride), 0)
        before = total // 2
        return F.pad(x, (before, total - before, before, total - before))


def _norm_relu(channels: int) -> nn.Sequential:
    layers = nn.Sequential()
    layers.add_module("bn", nn.BatchNorm2d(channels))
    layers.add_module("relu", nn.ReLU(inplace=True))
    return layers


def _conv(n_in: int, n_out: int, kernel_px: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(n_in, n_out, kernel_px, stride=stride, groups=groups, bias=False)


class ResidualGroup(nn.Module):
    """Bottleneck units with pre-activation; the first may halve the resolution."""

    def __init__(self, n_in: int, n_within: int, n_out: int, n_units: int, stride: int) -> None:
        super().__init__()
        self.shortcut = _conv(n_in, n_out, 1, stride)
        self.units = nn.ModuleList()
        for i in range(n_units):
            unit = nn.Sequential()
            if i:
                unit.add_module("preact/bn", nn.BatchNorm2d(n_out))
                unit.add_module("preact/relu", nn.ReLU(inplace=True))
            unit.add_module("conv1", _conv(n_out if i else n_in, n_within, 1))
            unit.add_module("conv1/bn", nn.BatchNorm2d(n_within))
            unit.add_module("conv1/relu", nn.ReLU(inplace=True))
            unit.add_module("conv2/pad", SamePadding(3, 1 if i else stride))
            unit.add_module("conv2", _conv(n_within, n_within, 3, 1 if i else stride))
            unit.add_module("conv2/bn", nn.BatchNorm2d(n_within))
            unit.add_module("conv2/relu", nn.ReLU(inplace=True))
            unit.add_module("conv3", _conv(n_within, n_out, 1))
            self.units.append(unit)
        self.blk_bna = _norm_relu(n_out)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, in, H, W)`` to ``(N, out, H / stride, W / stride)``."""
        carried = self.shortcut(x)
        for unit in self.units:
            # A unit's ReLUs work in place, on what it computed; the sum is a new tensor.
            x = unit(x.clone()) + carried
            carried = x
        y: Tensor = self.blk_bna(x)
        return y


class DenseGroup(nn.Module):
    """Units that each add 32 channels to what they saw, without padding."""

    def __init__(self, n_in: int, n_units: int, kernel_px: int) -> None:
        super().__init__()
        self.units = nn.ModuleList()
        channels = n_in
        for _ in range(n_units):
            unit = nn.Sequential()
            unit.add_module("preact_bna/bn", nn.BatchNorm2d(channels))
            unit.add_module("preact_bna/relu", nn.ReLU(inplace=True))
            unit.add_module("conv1", _conv(channels, 128, 1))
            unit.add_module("conv1/bn", nn.BatchNorm2d(128))
            unit.add_module("conv1/relu", nn.ReLU(inplace=True))
            unit.add_module("conv2", _conv(128, 32, kernel_px, groups=4))
            self.units.append(unit)
            channels += 32
        self.blk_bna = _norm_relu(channels)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, in, H, W)`` to ``(N, in + 32 units, H - border, W - border)``."""
        for unit in self.units:
            found = unit(x.clone())
            x = torch.cat((centre(x, found.shape[2]), found), dim=1)
        y: Tensor = self.blk_bna(x)
        return y


def _decoder(kernel_px: int) -> nn.Sequential:
    decoder = nn.Sequential()
    for name, n_in, n_start, n_units in (("u3", 1024, 256, 8), ("u2", 512, 128, 4)):
        step = nn.Sequential()
        step.add_module("conva", _conv(n_in, n_start, kernel_px))
        step.add_module("dense", DenseGroup(n_start, n_units, kernel_px))
        n_end = n_start + 32 * n_units
        step.add_module("convf", _conv(n_end, n_end, 1))
        decoder.add_module(name, step)
    last = nn.Sequential()
    last.add_module("conva/pad", SamePadding(kernel_px))
    last.add_module("conva", _conv(256, 64, kernel_px))
    decoder.add_module("u1", last)
    head = _norm_relu(64)
    head.add_module("conv", nn.Conv2d(64, 2, 1))
    decoder.add_module("u0", head)
    return decoder


class HoverNet(nn.Module):
    """HoVer-Net without a type branch.

    33,625,412 parameters in fast mode, 45,028,676 in original mode.

    Args:
        mode: ``fast`` predicts 164 px of 256, ``original`` 80 px of 270.
    """

    def __init__(self, mode: Mode) -> None:
        super().__init__()
        self.mode = mode
        self.geometry = GEOMETRY[mode]
        self.conv0 = nn.Sequential()
        if self.geometry.is_stem_padded:
            self.conv0.add_module("pad", SamePadding(7))
        self.conv0.add_module("/", _conv(3, 64, 7))
        self.conv0.add_module("bn", nn.BatchNorm2d(64))
        self.conv0.add_module("relu", nn.ReLU(inplace=True))
        self.d0, self.d1, self.d2, self.d3 = (ResidualGroup(*group) for group in _ENCODER)
        self.conv_bot = _conv(2048, 1024, 1)
        kernel_px = self.geometry.decoder_kernel_px
        self.decoder = nn.ModuleDict({"np": _decoder(kernel_px), "hv": _decoder(kernel_px)})

    def forward(self, rgb: Tensor) -> Tensor:
        """Predict the centre of windows.

        Args:
            rgb: ``(N, 3, S, S)`` float, 0..255, with ``S`` the mode's input size, or larger by
                multiples of 8 (fast) that keep every halving even.

        Returns:
            ``(N, 3, T, T)``: foreground probability, horizontal map, vertical map.
        """
        d0 = self.d0(self.conv0(rgb / 255.0))
        d1 = self.d1(d0)
        d2 = self.d2(d1)
        bottom = self.conv_bot(self.d3(d2))
        logits, hv_maps = (self._decode(self.decoder[name], bottom, d2, d1, d0)
                           for name in ("np", "hv"))  # fmt: skip
        return torch.cat((logits.softmax(dim=1)[:, 1:], hv_maps), dim=1)

    @staticmethod
    def _decode(decoder: nn.Module, x: Tensor, *bridges: Tensor) -> Tensor:
        *steps, head = decoder.children()
        for step, bridge in zip(steps, bridges, strict=True):
            x = F.interpolate(x, scale_factor=2, mode="nearest")
            x = step(x + centre(bridge, x.shape[2]))
        y: Tensor = head(x)
        return y


def centre(x: Tensor, side_px: int) -> Tensor:
    """The middle ``side_px`` of both last axes; an odd rest is cut below and right."""
    start = (x.shape[2] - side_px) // 2
    return x[:, :, start : start + side_px, start : start + side_px]
