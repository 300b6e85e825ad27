"""The HoverFast student: a small multi-scale UNet with two decoders.

Layer names follow the published checkpoints, so that these load; nothing here knows files.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

RECEPTIVE_RADIUS_PX = 66
"""How far an output pixel sees at depth 3: two 7x7 convolutions (6 px) at full resolution
on the way down and up, the same at half (12 px each), at a quarter (24 px), and pooling
and up-sampling (6 px). ``tests/unit/model/test_network.py`` measures it."""


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
    """Parallel 3x3 and 7x7 paths, merged by a 1x1 convolution (MSU-Net, Su et al. 2021)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv_3 = ConvPair(in_channels, out_channels, kernel_size=3)
        self.conv_7 = ConvPair(in_channels, out_channels, kernel_size=7)
        self.conv = nn.Conv2d(2 * out_channels, out_channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, in, H, W)`` to ``(N, out, H, W)``."""
        y: Tensor = self.conv(torch.cat((self.conv_3(x), self.conv_7(x)), dim=1))
        return y


class UpBlock(nn.Module):
    """Learned doubling of the resolution, joined with the encoder's features of that level."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(in_channels, out_channels, kernel_size=2, stride=2)
        self.conv_block = MultiScaleBlock(in_channels, out_channels)

    def forward(self, x: Tensor, bridge: Tensor) -> Tensor:
        """``(N, in, H, W)`` and ``(N, out, 2H, 2W)`` to ``(N, out, 2H, 2W)``."""
        y: Tensor = self.conv_block(torch.cat((self.up(x), bridge), dim=1))
        return y


class HoverFast(nn.Module):
    """The student network; 947,732 parameters with the defaults.

    One encoder, two decoders that share nothing: foreground logits and HV maps. Height and
    width of the input must be multiples of ``2 ** (depth - 1)``.

    Args:
        depth: Levels of the encoder.
        first_filters: Channels of the first level, doubled at each further one.

    References:
        Liakopoulos et al., JOSS 9 (2024) 7022, Appendix 1A.
    """

    def __init__(self, depth: int = 3, first_filters: int = 16) -> None:
        super().__init__()
        self.depth = depth
        self.first_filters = first_filters
        channels = [first_filters * 2**level for level in range(depth)]
        self.down_path = nn.ModuleList(
            MultiScaleBlock(n_in, n_out)
            for n_in, n_out in zip([3, *channels[:-1]], channels, strict=True)
        )
        up = list(zip(channels[:0:-1], channels[-2::-1], strict=True))
        self.up_path = nn.ModuleList(UpBlock(n_in, n_out) for n_in, n_out in up)
        self.last = nn.Conv2d(channels[0], 2, kernel_size=1)
        self.up_path_m = nn.ModuleList(UpBlock(n_in, n_out) for n_in, n_out in up)
        self.last_m = nn.Conv2d(channels[0], 2, kernel_size=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Predict foreground logits and HV maps.

        Args:
            x: ``(N, 3, H, W)`` RGB, 0..1.

        Returns:
            Foreground logits ``(N, 2, H, W)``, channel 1 is nucleus, and HV maps
            ``(N, 2, H, W)``, horizontal first, nominally -1..1.
        """
        bridges: list[Tensor] = []
        for level, block in enumerate(self.down_path):
            if level:
                x = F.max_pool2d(x, 2)
            x = block(x)
            bridges.append(x)
        bridges.reverse()
        foreground = hv = x
        for up, bridge in zip(self.up_path, bridges[1:], strict=True):
            foreground = up(foreground, bridge)
        for up, bridge in zip(self.up_path_m, bridges[1:], strict=True):
            hv = up(hv, bridge)
        return self.last(foreground), self.last_m(hv)


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
