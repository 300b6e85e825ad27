"""What a network is built like: part of its model's card, so that any of them can be loaded.

No torch here.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from hoverfast_platform.config import Settings


class Architecture(Settings):
    """Shape of a multi-scale U-Net; the defaults are the published HoverFast's.

    Two further members of the family are used here: wider ones as teachers, and lean ones, which
    work on blocks of 2 x 2 pixels with small kernels and share one decoder.
    """

    depth: int = Field(default=3, ge=1, le=6)
    """Levels of the encoder; each further one has half the resolution of the one before."""

    first_filters: int = Field(default=16, ge=1)
    """Channels of the first level, doubled at each further one."""

    kernel_sizes: tuple[int, ...] = (3, 7)
    """Sides of the kernels of a block's parallel paths; one path needs no merging."""

    pixel_block: Literal[1, 2] = 1
    """Side of the block of pixels that the first layer takes as one and the last one writes. With
    2 everything between works at half the resolution, a quarter of the arithmetic, and no pixel's
    value is lost (space-to-depth, Shi et al., CVPR 2016)."""

    shares_decoder: bool = False
    """Whether foreground and HV maps come from one decoder, or each from its own."""

    @field_validator("kernel_sizes")
    @classmethod
    def _are_odd(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        if not sizes or any(size < 1 or size % 2 == 0 for size in sizes):
            raise ValueError(f"kernel sizes must be odd and at least one, not {sizes}")
        return sizes

    @property
    def multiple_px(self) -> int:
        """Height and width of the network's input must be multiples of this."""
        return self.pixel_block << (self.depth - 1)

    @property
    def receptive_radius_px(self) -> int:
        """How far an output pixel sees, in pixels; ``tests/unit/model`` measures it.

        Per level two convolutions on the way down and, but for the deepest, two on the way up;
        pooling and up-sampling add the width of a block of each level.
        """
        reach = max(self.kernel_sizes) - 1
        radius = self.pixel_block - 1
        for level in range(self.depth):
            side = self.pixel_block * 2**level
            passes = 1 if level == self.depth - 1 else 2
            radius += passes * reach * side
            radius += 2 * side if level < self.depth - 1 else 0
        return radius

    def multiplications_per_px(self) -> int:
        """Multiply-accumulate operations of all convolutions for one pixel of the input."""
        channels = [self.first_filters * 2**level for level in range(self.depth)]
        areas = [(self.pixel_block * 2**level) ** 2 for level in range(self.depth)]
        total = 0.0
        inputs = [3 * self.pixel_block**2, *channels[:-1]]
        for n_in, n_out, area in zip(inputs, channels, areas, strict=True):
            total += self._block_multiplications(n_in, n_out) / area
        decoder = 0.0
        for level in range(self.depth - 2, -1, -1):
            n_out, n_in = channels[level], channels[level + 1]
            decoder += (n_in * n_out + self._block_multiplications(n_in, n_out)) / areas[level]
        total += decoder * (1 if self.shares_decoder else 2)
        total += 4 * channels[0]
        return int(total + 0.5)

    def _block_multiplications(self, n_in: int, n_out: int) -> int:
        paths = sum((n_in + n_out) * n_out * size * size for size in self.kernel_sizes)
        n_paths = len(self.kernel_sizes)
        return paths + (n_paths * n_out * n_out if n_paths > 1 else 0)
