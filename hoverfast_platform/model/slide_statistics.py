"""Batch-norm statistics of a slide, mixed into a model's own: adapting without labels.

A network normalises its features by the mean and variance that the stains it learned from
gave them. Where a slide differs, mixing in the slide's own brings the features back to where
the weights expect them (Schneider et al., "Improving robustness against common corruptions by
covariate shift adaptation", NeurIPS 2020; Nado et al., arXiv 2006.10963). They mix by the number
of images; here the share is fixed by the model's card, since one batch of squares of tissue
stands for the slide.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch

from hoverfast_platform.arrays import RgbImage
from hoverfast_platform.cores import available_cores, has_bfloat16
from hoverfast_platform.model.batch_norms import statistics_taken
from hoverfast_platform.model.network import HoverFast

MAX_SQUARES = 8
"""Half a mega pixel. A pass over more costs small slides more than it brings."""

_MIN_PX = 64
"""Smallest side of an image. In smaller ones a layer sees mostly the padding around it."""


@torch.no_grad()
def adapted_to(
    network: HoverFast, samples: Sequence[RgbImage], share: float, device: str = "cpu"
) -> HoverFast:
    """A copy of a network with statistics of what the samples show mixed in.

    Args:
        network: In evaluation mode; not changed.
        samples: Squares of about one size, ``(H, W, 3)``, as the network is to see them;
            :data:`MAX_SQUARES` of them are looked at. Without any, or with tiny ones, nothing
            is mixed in.
        share: Share of the samples' statistics in the mixture, 0..1; the rest are the network's.
        device: Where to compute, in :func:`statistics_precision`.

    Returns:
        On the CPU, in evaluation mode.
    """
    adapted = copy.deepcopy(network)
    if share == 0 or not samples or min(min(rgb.shape[:2]) for rgb in samples) < _MIN_PX:
        return adapted
    # The stubs do not know this keyword.
    adapted.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    pixels = torch.from_numpy(_stacked(samples, network.architecture.multiple_px)).to(device)
    if device == "cpu":
        torch.set_num_threads(available_cores())
    in_half = statistics_precision(device) == "bf16"
    computing = torch.autocast(torch.device(device).type, torch.bfloat16, enabled=in_half)
    with statistics_taken(adapted, share), computing:
        adapted(pixels.permute(0, 3, 1, 2).float() / 255.0)
    return adapted.cpu()


def statistics_precision(device: str) -> str:
    """``bf16`` on a CPU that has it, else ``fp32``: statistics are means, and forgive rounding."""
    return "bf16" if device == "cpu" and has_bfloat16() else "fp32"


def _stacked(samples: Sequence[RgbImage], multiple_px: int) -> RgbImage:
    """``(N, H, W, 3)``, cut to the smallest sides, which the network's pooling must divide."""
    spaced = np.linspace(0, len(samples) - 1, min(len(samples), MAX_SQUARES))
    chosen = [samples[i] for i in spaced.round().astype(int)]
    height, width = (min(sample.shape[axis] for sample in chosen) for axis in (0, 1))
    height, width = height - height % multiple_px, width - width % multiple_px
    return np.stack([sample[:height, :width] for sample in chosen])
