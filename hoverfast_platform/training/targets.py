"""What a network is to predict, made on the device from instance maps and a teacher's maps."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

MAX_INSTANCES = 2048
"""Numbers of nuclei in one crop are below this."""


class Targets(NamedTuple):
    """Foreground ``(N, H, W)``, 0..1, and HV maps ``(N, 2, H, W)``, horizontal first, -1..1."""

    foreground: Tensor
    hv_maps: Tensor


def targets_of(instance_map: Tensor) -> Targets:
    """Foreground and HV maps of labels.

    Equal to :func:`hoverfast_platform.hv.encode.encode_hv_maps` of every image; here all nuclei of
    all images are computed at once, on any device.

    Args:
        instance_map: ``(N, H, W)`` int64, 0 background, numbers below :data:`MAX_INSTANCES`.
    """
    n, height, width = instance_map.shape
    offsets = torch.arange(n, device=instance_map.device) * MAX_INSTANCES
    nucleus = (instance_map + offsets[:, None, None]).reshape(-1)
    foreground = (instance_map > 0).float()
    y = torch.arange(height, device=instance_map.device, dtype=torch.float32)
    x = torch.arange(width, device=instance_map.device, dtype=torch.float32)
    n_pixels = _summed(torch.ones_like(foreground).reshape(-1), nucleus, n).clamp(min=1)
    planes = []
    for position in (x.expand(n, height, width), y[:, None].expand(n, height, width)):
        flat = position.reshape(-1)
        centre = torch.floor(_summed(flat, nucleus, n) / n_pixels + 0.5)
        distance = flat - centre[nucleus]
        reach = torch.where(
            distance > 0,
            _furthest(distance, nucleus, n)[nucleus],
            _furthest(-distance, nucleus, n)[nucleus],
        )
        planes.append((distance / reach).reshape(n, height, width) * foreground)
    return Targets(foreground, torch.stack(planes, dim=1))


def blended(labels: Targets, teacher: Targets, teacher_share: Tensor) -> Targets:
    """The weighted mean of labels and a teacher's maps.

    Args:
        labels: Made by people.
        teacher: Predicted.
        teacher_share: ``(N,)``, 0..1; 1 for images without labels.
    """
    share = teacher_share[:, None, None]
    return Targets(
        torch.lerp(labels.foreground, teacher.foreground, share),
        torch.lerp(labels.hv_maps, teacher.hv_maps, share[:, None]),
    )


def _summed(values: Tensor, nucleus: Tensor, n_images: int) -> Tensor:
    total = torch.zeros(n_images * MAX_INSTANCES, device=values.device)
    return total.index_add_(0, nucleus, values)


def _furthest(distance: Tensor, nucleus: Tensor, n_images: int) -> Tensor:
    """Largest distance of every nucleus, at least 1."""
    largest = torch.ones(n_images * MAX_INSTANCES, device=distance.device)
    return largest.scatter_reduce_(0, nucleus, distance, "amax")
