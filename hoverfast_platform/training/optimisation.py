"""Optimiser, learning rate, moving average, mixed precision: values and small functions."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hoverfast_platform.cores import has_bfloat16
from hoverfast_platform.training.settings import TrainingSettings


def make_optimiser(network: nn.Module, settings: TrainingSettings) -> torch.optim.AdamW:
    """AdamW; weight decay on kernels, not on biases and batch norm."""
    kernels = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    return torch.optim.AdamW(
        [
            {"params": kernels, "weight_decay": settings.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ],
        lr=settings.learning_rate,
    )


def learning_rate_at(step: int, settings: TrainingSettings) -> float:
    """Linear rise during the warm-up, then half a cosine down to 1 % at the last step.

    Args:
        step: Steps done before this one.
        settings: Peak, warm-up and number of steps.
    """
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    through = (step - settings.warmup_steps) / max(1, settings.n_steps - settings.warmup_steps)
    return settings.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * through)))


class MovingAverage:
    """Exponential moving average of weights and batch-norm statistics.

    Starts fast, ``(1 + step) / (10 + step)``, so that early weights are soon forgotten.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {name: t.detach().clone() for name, t in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        newest = network.state_dict()
        floating = [name for name, tensor in newest.items() if tensor.is_floating_point()]
        # One call for all of them: a GPU would wait for two hundred.
        torch._foreach_lerp_(
            [self.weights[name] for name in floating],
            [newest[name].detach() for name in floating],
            1.0 - decay,
        )
        for name in newest.keys() - set(floating):  # batch norm's counter of batches
            self.weights[name].copy_(newest[name])

    def load(self, weights: Mapping[str, Tensor]) -> None:
        for name, tensor in weights.items():
            self.weights[name].copy_(tensor)


@dataclass(frozen=True)
class MixedPrecision:
    """How a step is computed on a device; see :meth:`of`."""

    device_type: str
    dtype: torch.dtype | None
    scales_gradients: bool

    @classmethod
    def of(cls, device: torch.device, settings: TrainingSettings) -> MixedPrecision:
        """bfloat16 where the device computes in it, float16 with scaled gradients on older CUDA.

        ``auto`` on a CPU asks whether it multiplies in bfloat16 (AVX512-BF16 or AMX): a step
        then takes half the time; other CPUs emulate it many times slower.
        """
        fast = device.type == "cuda" or (device.type == "cpu" and has_bfloat16())
        wanted = settings.precision == "amp" or (settings.precision == "auto" and fast)
        if not wanted or device.type == "mps":
            return cls(device.type, None, scales_gradients=False)
        if device.type == "cuda" and not torch.cuda.is_bf16_supported():
            return cls(device.type, torch.float16, scales_gradients=True)
        return cls(device.type, torch.bfloat16, scales_gradients=False)

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        if self.dtype is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device_type, self.dtype)
