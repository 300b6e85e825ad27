"""The HoverFast student, a small multi-scale U-Net, and its wider and leaner relatives.

Layer names follow the published checkpoints, so that these load; nothing here knows files.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hoverfast_platform.model.architecture import Architecture
from hoverfast_platform.model.weights import Weights


class ConvPair(nn.Module):
    """Two convolutions of one kernel size, each with batch norm and ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__()
        padding = kernel_size // 2
        self.block = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, kernel_size, padding=padding),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, kernel_size, padding=padding),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(N, in, H, W)`` to ``(N, out, H, W)``."""
        y: Tensor = self.block(x)
        return y


class MultiScaleBlock(nn.Module):
    """Parallel paths of different kernel sizes, merged by a 1x1 convolution.

    With one path there is nothing to merge (MSU-Net, Su et al. 2021).
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_sizes: tuple[int, ...]) -> None:
        super().__init__()
        self._names = tuple(f"conv_{size}" for size in kernel_sizes)
        for name, size in zip(self._names, kernel_sizes, strict=True):
            self.add_module(name, ConvPair(in_channels, out_channels, kernel_size=size))
        n_paths = len(kernel_sizes)
        self.conv = (
            nn.Conv2d(n_paths * out_channels, out_channels, kernel_size=1)
            if n_paths > 1
            else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(N, in, H, W)`` to ``(N, out, H, W)``."""
        paths = [self.get_submodule(name)(x) for name in self._names]
        y: Tensor = self.conv(torch.cat(paths, dim=1) if len(paths) > 1 else paths[0])
        return y


class UpBlock(nn.Module):
    """Learned doubling of the resolution, joined with the encoder's features of that level."""

    def __init__(self, in_channels: int, out_channels: int, kernel_sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(in_channels, out_channels, kernel_size=2, stride=2)
        self.conv_block = MultiScaleBlock(in_channels, out_channels, kernel_sizes)

    def forward(self, x: Tensor, bridge: Tensor) -> Tensor:
        """``(N, in, H, W)`` and ``(N, out, 2H, 2W)`` to ``(N, out, 2H, 2W)``."""
        y: Tensor = self.conv_block(torch.cat((self.up(x), bridge), dim=1))
        return y


class HoverFast(nn.Module):
    """The student network; 947,732 parameters with the defaults.

    One encoder, and for foreground logits and HV maps a decoder each, which share nothing, or one
    for both. Height and width of the input must be multiples of ``architecture.multiple_px``.

    Args:
        architecture: Depth, width, kernels.

    References:
        Liakopoulos et al., JOSS 9 (2024) 7022, Appendix 1A.
    """

    def __init__(self, architecture: Architecture = Architecture()) -> None:
        super().__init__()
        self.architecture = architecture
        kernels, block = architecture.kernel_sizes, architecture.pixel_block
        channels = [architecture.first_filters * 2**level for level in range(architecture.depth)]
        self.down_path = nn.ModuleList(
            MultiScaleBlock(n_in, n_out, kernels)
            for n_in, n_out in zip([3 * block**2, *channels[:-1]], channels, strict=True)
        )
        up = list(zip(channels[:0:-1], channels[-2::-1], strict=True))
        self.up_path = nn.ModuleList(UpBlock(n_in, n_out, kernels) for n_in, n_out in up)
        n_maps = 4 if architecture.shares_decoder else 2
        self.last = nn.Conv2d(channels[0], n_maps * block**2, kernel_size=1)
        if not architecture.shares_decoder:
            self.up_path_m = nn.ModuleList(UpBlock(n_in, n_out, kernels) for n_in, n_out in up)
            self.last_m = nn.Conv2d(channels[0], n_maps * block**2, kernel_size=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Predict foreground logits and HV maps.

        Args:
            x: ``(N, 3, H, W)`` RGB, 0..1.

        Returns:
            Foreground logits ``(N, 2, H, W)``, channel 1 is nucleus, and HV maps
            ``(N, 2, H, W)``, horizontal first, nominally -1..1.
        """
        block = self.architecture.pixel_block
        if block > 1:
            x = F.pixel_unshuffle(x, block)
        bridges: list[Tensor] = []
        for level, down in enumerate(self.down_path):
            if level:
                x = F.max_pool2d(x, 2)
            x = down(x)
            bridges.append(x)
        bridges.reverse()
        foreground = hv = x
        for up, bridge in zip(self.up_path, bridges[1:], strict=True):
            foreground = up(foreground, bridge)
        foreground = self.last(foreground)
        if not self.architecture.shares_decoder:
            for up, bridge in zip(self.up_path_m, bridges[1:], strict=True):
                hv = up(hv, bridge)
            hv = self.last_m(hv)
        if block > 1:
            foreground = F.pixel_shuffle(foreground, block)
            hv = F.pixel_shuffle(hv, block) if not self.architecture.shares_decoder else hv
        if self.architecture.shares_decoder:
            return foreground[:, :2], foreground[:, 2:]
        return foreground, hv


class MapsFromPixels(nn.Module):
    """The network as prediction uses it: bytes in, foreground and HV maps out.

    Scaling, softmax and the choice of channels live in here, so that every backend computes
    them in its own graph, on its own device, and only small arrays travel.
    """

    def __init__(self, network: HoverFast) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        """``(N, H, W, 3)`` uint8 to ``(N, 3, H, W)``: probability, horizontal, vertical."""
        x = pixels.permute(0, 3, 1, 2).to(self.network.last.weight.dtype) / 255.0
        logits, hv_maps = self.network(x)
        # softmax over two classes, channel 1
        probability = torch.sigmoid(logits[:, 1:2] - logits[:, 0:1])
        return torch.cat((probability, hv_maps), dim=1)


def network_with(architecture: Architecture, weights: Weights) -> HoverFast:
    """A network with given weights, in evaluation mode on the CPU; they are copied.

    Raises:
        RuntimeError: If they are not of that architecture; ``model.checkpoint`` looks before.
    """
    network = HoverFast(architecture)
    network.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    return network.eval()
