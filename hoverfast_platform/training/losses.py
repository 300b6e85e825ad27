"""HoVer-Net's loss on the student's two outputs.

Graham et al., Medical Image Analysis 58 (2019) 101563, section 3.2, with the weights of their
released code: cross-entropy + Dice on the foreground, mean squared error of the HV maps and of
their gradients inside nuclei, all with weight 1. The published HoverFast trainer differs: its
Dice is taken after an argmax and so has no gradient.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from hoverfast_platform.training.settings import TrainingSettings

_KERNEL_PX = 5


class Losses(NamedTuple):
    """The terms, each weighted, and their sum; all scalars."""

    total: Tensor
    cross_entropy: Tensor
    dice: Tensor
    hv: Tensor
    hv_gradient: Tensor


def student_losses(
    logits: Tensor,
    hv_maps: Tensor,
    true_foreground: Tensor,
    true_hv_maps: Tensor,
    settings: TrainingSettings,
) -> Losses:
    """Compare predictions with targets.

    Args:
        logits: ``(N, 2, H, W)``, channel 1 is nucleus.
        hv_maps: ``(N, 2, H, W)``, horizontal first.
        true_foreground: ``(N, H, W)`` int64, 0 or 1.
        true_hv_maps: ``(N, 2, H, W)``.
        settings: Weights of the HV terms.
    """
    cross_entropy = F.cross_entropy(logits, true_foreground)
    dice = soft_dice_loss(logits.softmax(dim=1), true_foreground)
    hv = settings.hv_weight * F.mse_loss(hv_maps, true_hv_maps)
    hv_gradient = settings.hv_gradient_weight * hv_gradient_loss(
        hv_maps, true_hv_maps, true_foreground
    )
    return Losses(cross_entropy + dice + hv + hv_gradient, cross_entropy, dice, hv, hv_gradient)


def soft_dice_loss(probability: Tensor, true_foreground: Tensor, smooth: float = 1e-3) -> Tensor:
    """1 - Dice of background plus 1 - Dice of foreground, over the whole batch.

    Both classes count alike however few pixels are nuclei, which evens out their imbalance.

    Args:
        probability: ``(N, 2, H, W)``, softmax.
        true_foreground: ``(N, H, W)`` int64.
        smooth: Keeps an empty class from dividing by zero.
    """
    true = F.one_hot(true_foreground, 2).movedim(-1, 1).to(probability.dtype)
    shared = (probability * true).sum(dim=(0, 2, 3))
    total = probability.sum(dim=(0, 2, 3)) + true.sum(dim=(0, 2, 3))
    return (1.0 - (2.0 * shared + smooth) / (total + smooth)).sum()


def hv_gradient_loss(hv_maps: Tensor, true_hv_maps: Tensor, true_foreground: Tensor) -> Tensor:
    """Mean squared error of d(horizontal)/dx and d(vertical)/dy inside nuclei.

    0 where a batch has no nuclei.
    """
    inside = true_foreground[:, None].to(hv_maps.dtype)
    squared = (_slopes(hv_maps) - _slopes(true_hv_maps)) ** 2 * inside
    return squared.sum() / (2.0 * inside.sum() + 1e-8)


def _slopes(hv_maps: Tensor) -> Tensor:
    """Slope of plane 0 along x and of plane 1 along y, ``(N, 2, H, W)``."""
    reach = _KERNEL_PX // 2
    offset = torch.arange(-reach, reach + 1, dtype=hv_maps.dtype, device=hv_maps.device)
    y, x = torch.meshgrid(offset, offset, indexing="ij")
    along_x = x / (x * x + y * y + 1e-15)
    kernels = torch.stack([along_x, along_x.T])[:, None]
    return F.conv2d(hv_maps, kernels, padding=reach, groups=2)
