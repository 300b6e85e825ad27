"""Batch-norm statistics of a slide, mixed into a torch network's own: adapting without labels.

``model.adapting`` says why, and which squares of a slide are looked at.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch

from hoverfast_platform.arrays import RgbImage
from hoverfast_platform.cores import available_cores
from hoverfast_platform.model.adapting import squares_to_adapt_to, statistics_precision
from hoverfast_platform.model.batch_norms import statistics_taken
from hoverfast_platform.model.network import HoverFast


@torch.no_grad()
def adapted_to(
    network: HoverFast, samples: Sequence[RgbImage], share: float, device: str = "cpu"
) -> HoverFast:
    """A copy of a network with statistics of what the samples show mixed in.

    Args:
        network: In evaluation mode; not changed.
        samples: Squares of about one size, ``(H, W, 3)``, as the network is to see them. Without
            any, or with tiny ones, nothing is mixed in.
        share: Share of the samples' statistics in the mixture, 0..1; the rest are the network's.
        device: Where to compute, in :func:`statistics_precision`.

    Returns:
        On the CPU, in evaluation mode.
    """
    adapted = copy.deepcopy(network)
    squares = squares_to_adapt_to(samples, network.architecture.multiple_px)
    if share == 0 or squares is None:
        return adapted
    # The stubs do not know this keyword.
    adapted.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    pixels = torch.from_numpy(squares).to(device)
    if device == "cpu":
        torch.set_num_threads(available_cores())
    in_half = statistics_precision(device) == "bf16"
    computing = torch.autocast(torch.device(device).type, torch.bfloat16, enabled=in_half)
    with statistics_taken(adapted, share), computing:
        adapted(pixels.permute(0, 3, 1, 2).float() / 255.0)
    return adapted.cpu()
