"""HoVer-Net's loss on the student's two outputs.

Graham et al., Medical Image Analysis 58 (2019) 101563, section 3.2, with the weights of their
released code: cross-entropy + Dice on the foreground, mean squared error of the HV maps and of
their gradients inside nuclei, all with weight 1. The published HoverFast trainer differs: its
Dice is taken after an argmax and so has no gradient. Targets may be soft, as a teacher's are.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from hoverfast_platform.training.settings import TrainingSettings
from hoverfast_platform.training.targets import Targets

_KERNEL_PX = 5


class Losses(NamedTuple):
    """The terms, each weighted, and their sum; all scalars."""

    total: Tensor
    cross_entropy: Tensor
    dice: Tensor
    hv: Tensor
    hv_gradient: Tensor


def student_losses(
    logits: Tensor, hv_maps: Tensor, wanted: Targets, settings: TrainingSettings
) -> Losses:
    """Compare predictions with targets.

    Args:
        logits: ``(N, 2, H, W)``, channel 1 is nucleus.
        hv_maps: ``(N, 2, H, W)``, horizontal first.
        wanted: What they should be.
        settings: Weights of the HV terms.
    """
    # Two classes: softmax cross-entropy is that of the sigmoid of the difference.
    difference = logits[:, 1] - logits[:, 0]
    cross_entropy = F.binary_cross_entropy_with_logits(difference, wanted.foreground)
    dice = soft_dice_loss(difference.sigmoid(), wanted.foreground)
    hv = settings.hv_weight * F.mse_loss(hv_maps, wanted.hv_maps)
    hv_gradient = settings.hv_gradient_weight * hv_gradient_loss(hv_maps, wanted)
    return Losses(cross_entropy + dice + hv + hv_gradient, cross_entropy, dice, hv, hv_gradient)


def soft_dice_loss(probability: Tensor, foreground: Tensor, smooth: float = 1e-3) -> Tensor:
    """1 - Dice of background plus 1 - Dice of foreground, over the whole batch.

    Both classes count alike however few pixels are nuclei, which evens out their imbalance.

    Args:
        probability: ``(N, H, W)`` of a nucleus.
        foreground: ``(N, H, W)``, 0..1.
        smooth: Keeps an empty class from dividing by zero.
    """
    losses = []
    for predicted, true in ((probability, foreground), (1 - probability, 1 - foreground)):
        shared, total = (predicted * true).sum(), predicted.sum() + true.sum()
        losses.append(1.0 - (2.0 * shared + smooth) / (total + smooth))
    return losses[0] + losses[1]


def hv_gradient_loss(hv_maps: Tensor, wanted: Targets) -> Tensor:
    """Mean squared error of d(horizontal)/dx and d(vertical)/dy inside nuclei.

    0 where a batch has no nuclei.
    """
    inside = wanted.foreground[:, None]
    squared = (_slopes(hv_maps) - _slopes(wanted.hv_maps)) ** 2 * inside
    return squared.sum() / (2.0 * inside.sum() + 1e-8)


def _slopes(hv_maps: Tensor) -> Tensor:
    """Slope of plane 0 along x and of plane 1 along y, ``(N, 2, H, W)``."""
    reach = _KERNEL_PX // 2
    offset = torch.arange(-reach, reach + 1, dtype=hv_maps.dtype, device=hv_maps.device)
    y, x = torch.meshgrid(offset, offset, indexing="ij")
    along_x = x / (x * x + y * y + 1e-15)
    kernels = torch.stack([along_x, along_x.T])[:, None]
    return F.conv2d(hv_maps, kernels, padding=reach, groups=2)
