"""A network's weights as plain arrays: which there must be, and statistics mixed into them.

No torch here, so that prediction on a CPU starts without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from hoverfast_platform.model.architecture import Architecture

Weights: TypeAlias = Mapping[str, npt.NDArray[np.float32]]
"""Parameters and running statistics by the names of the checkpoint, for instance
``down_path.0.conv_3.block.0.weight``."""

EPSILON = 1e-5
"""What a batch norm adds to the variance, as torch's does."""

_VARIANCE = ".running_var"
_COUNT = ".num_batches_tracked"
"""Batches that a norm has seen in training: kept by torch, and of no use afterwards."""


@dataclass(frozen=True)
class BatchStatistics:
    """What a batch norm sees of some images.

    Attributes:
        mean: ``(C,)``, of each channel.
        variance: ``(C,)``, of each channel, by the number of values less one.
    """

    mean: npt.NDArray[np.float32]
    variance: npt.NDArray[np.float32]


def weight_shapes(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    """The shape of every weight of a network, by its name in a checkpoint."""
    shape = architecture
    channels = [shape.first_filters * 2**level for level in range(shape.depth)]
    found: dict[str, tuple[int, ...]] = {}
    inputs = [3 * shape.pixel_block**2, *channels[:-1]]
    for level, (n_in, n_out) in enumerate(zip(inputs, channels, strict=True)):
        found |= _block(f"down_path.{level}", n_in, n_out, shape.kernel_sizes)
    one = shape.shares_decoder
    for path, last in (
        [("up_path", "last")] if one else [("up_path", "last"), ("up_path_m", "last_m")]
    ):
        for i, n_out in enumerate(reversed(channels[:-1])):
            found[f"{path}.{i}.up.weight"] = (2 * n_out, n_out, 2, 2)
            found[f"{path}.{i}.up.bias"] = (n_out,)
            found |= _block(f"{path}.{i}.conv_block", 2 * n_out, n_out, shape.kernel_sizes)
        n_maps = (4 if one else 2) * shape.pixel_block**2
        found |= _convolution(last, channels[0], n_maps, 1)
    return found


def norms_of(weights: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the batch norms of a network, in the order of its weights."""
    return tuple(name.removesuffix(_VARIANCE) for name in weights if name.endswith(_VARIANCE))


def with_statistics_mixed_in(
    weights: Weights, taken: Mapping[str, BatchStatistics], share: float
) -> Weights:
    """Weights whose running statistics are mixed with those of some images.

    Args:
        weights: Not changed.
        taken: What every batch norm saw of the images, by its name.
        share: Of these in the mixture, 0..1; the rest are the weights' own.
    """
    mixed = dict(weights)
    for norm, own in taken.items():
        for name, value in (
            (f"{norm}.running_mean", own.mean),
            (f"{norm}{_VARIANCE}", own.variance),
        ):
            mixed[name] = np.float32(1 - share) * weights[name] + np.float32(share) * value
    return mixed


def misfit_of(shapes: Mapping[str, tuple[int, ...]], found: Mapping[str, Any]) -> str:
    """What found weights lack, have too much, or have in another shape; the first of each kind.

    Empty where they fit. How many batches a norm has seen may be missing.
    """
    lists = {
        "missing": [n for n in shapes if n not in found and not n.endswith(_COUNT)],
        "unknown": [n for n in found if n not in shapes],
        "of another shape": [
            n
            for n, shape in shapes.items()
            if n in found and tuple(getattr(found[n], "shape", ("none",))) != shape
        ],
    }
    said = [
        f"{len(names)} {what} ({', '.join(names[:2])}{', ...' if len(names) > 2 else ''})"
        for what, names in lists.items()
        if names
    ]
    return "; ".join(said)


def _block(
    name: str, n_in: int, n_out: int, kernel_sizes: tuple[int, ...]
) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    for size in kernel_sizes:
        pair = f"{name}.conv_{size}.block"
        for first, inputs in ((0, n_in), (3, n_out)):
            found |= _convolution(f"{pair}.{first}", inputs, n_out, size)
            for part in (".weight", ".bias", ".running_mean", _VARIANCE):
                found[f"{pair}.{first + 1}{part}"] = (n_out,)
            found[f"{pair}.{first + 1}{_COUNT}"] = ()
    if len(kernel_sizes) > 1:
        found |= _convolution(f"{name}.conv", len(kernel_sizes) * n_out, n_out, 1)
    return found


def _convolution(name: str, n_in: int, n_out: int, side: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (n_out, n_in, side, side), f"{name}.bias": (n_out,)}
