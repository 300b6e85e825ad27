"""The batch norms of a network: their statistics taken anew, held fixed, or taken into weights.

Which images the statistics are taken of, and what share they get, is decided elsewhere: by a slide
or image in inference (``model.slide_statistics``), by the training set (``training.statistics``).
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def norms_of(network: nn.Module) -> dict[str, nn.BatchNorm2d]:
    """Every batch norm of a network, by its name in it."""
    return {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, nn.BatchNorm2d)
    }


@contextlib.contextmanager
def statistics_taken(network: nn.Module, share: float | None) -> Iterator[None]:
    """Mix the statistics of what the block shows a network into those it has.

    In the block the network is in training mode: each layer is fed by features normalised with
    the batch's own statistics, as in every step of training. Afterwards it is in evaluation mode.

    Args:
        network: Changed in place.
        share: Share of each batch in the mixture, 0..1. None forgets the network's own
            statistics and takes the plain mean over all batches.
    """
    norms = norms_of(network).values()
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        if share is None:
            norm.reset_running_stats()
        norm.momentum = share
    network.train()
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        network.eval()


def train_with_fixed_statistics(network: nn.Module) -> None:
    """Training mode, but every batch norm normalises by the statistics it has."""
    network.train()
    for norm in norms_of(network).values():
        norm.eval()


def fold_batch_norms(module: nn.Module) -> None:
    """Take every batch norm into the convolution before it, in place; for evaluation only.

    Kept apart, they read and write each layer's output once more, which on a GPU is most of
    the memory traffic.
    """
    for child in module.children():
        if isinstance(child, nn.Sequential):
            for i, (first, second) in enumerate(itertools.pairwise(list(child))):
                if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                    child[i], child[i + 1] = fuse_conv_bn_eval(first, second), nn.Identity()
        else:
            fold_batch_norms(child)
