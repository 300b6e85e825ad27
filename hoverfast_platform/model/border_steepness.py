"""The dense part of decoding, on the device and in the graph of the network.

Finding borders in HV maps is a filter over every pixel. On the device it costs nothing beside
the network, and one map travels to the workers in place of two. ``hv.decode.border_steepness``
is the plain form; that both are equal is tested.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hoverfast_platform.hv.decode import SLOPE_KERNEL_PX, slope_kernels


class BorderSteepness(nn.Module):
    """Maps of the network to those the workers decode.

    In single precision whatever the network computes in: a fall between two pixels is a small
    difference of large values.
    """

    along_x: Tensor
    along_y: Tensor

    def __init__(self) -> None:
        super().__init__()
        fall, smoothing = (torch.from_numpy(kernel) for kernel in slope_kernels())
        # Plane 0 falls along x and is smoothed along y, plane 1 the other way round.
        self.register_buffer("along_x", torch.stack((fall, smoothing))[:, None, None, :])
        self.register_buffer("along_y", torch.stack((smoothing, fall))[:, None, :, None])

    def forward(self, maps: Tensor) -> Tensor:
        """Foreground and HV maps to foreground and steepness, ``(N, 3, H, W)`` to ``(N, 2, H, W)``.

        Single precision comes out. Sides are at least 4.
        """
        maps = maps.to(torch.float32)
        reach = SLOPE_KERNEL_PX // 2
        falls = F.pad(maps[:, 1:], (reach, reach, reach, reach), mode="reflect")
        falls = F.conv2d(falls, self.along_x, groups=2)
        falls = F.conv2d(falls, self.along_y, groups=2)
        steepness = falls.amax(dim=1, keepdim=True).relu()
        return torch.cat((maps[:, :1], steepness), dim=1)
