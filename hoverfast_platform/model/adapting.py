"""What a model is adapted to: squares of a slide's tissue, and how exactly they are looked at.

A network normalises its features by the mean and variance that the stains it learned from
gave them. Where a slide differs, mixing in the slide's own brings the features back to where
the weights expect them (Schneider et al., "Improving robustness against common corruptions by
covariate shift adaptation", NeurIPS 2020; Nado et al., arXiv 2006.10963). They mix by the number
of images; here the share is fixed by the model's card, since one batch of squares of tissue
stands for the slide.

``inference.backends.sample_statistics`` takes the statistics by OpenVINO, and
``model.slide_statistics`` by torch. No torch here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hoverfast_platform.arrays import RgbImage
from hoverfast_platform.cores import has_bfloat16

MAX_SQUARES = 8
"""Half a mega pixel. A pass over more costs small slides more than it brings."""

_MIN_PX = 64
"""Smallest side of an image. In smaller ones a layer sees mostly the padding around it."""


def statistics_precision(device: str) -> str:
    """``bf16`` on a CPU that has it, else ``fp32``: statistics are means, and forgive rounding."""
    return "bf16" if device == "cpu" and has_bfloat16() else "fp32"


def squares_to_adapt_to(samples: Sequence[RgbImage], multiple_px: int) -> RgbImage | None:
    """The samples that a model is adapted to, in one array.

    Args:
        samples: Squares of about one size, ``(H, W, 3)``; of many, :data:`MAX_SQUARES` are taken.
        multiple_px: What their sides must be multiples of for the network.

    Returns:
        ``(N, H, W, 3)``, cut to the smallest sides; None where there is none or one is tiny.
    """
    if not samples or min(min(rgb.shape[:2]) for rgb in samples) < _MIN_PX:
        return None
    spaced = np.linspace(0, len(samples) - 1, min(len(samples), MAX_SQUARES))
    chosen = [samples[i] for i in spaced.round().astype(int)]
    height, width = (min(sample.shape[axis] for sample in chosen) for axis in (0, 1))
    height, width = height - height % multiple_px, width - width % multiple_px
    return np.stack([sample[:height, :width] for sample in chosen])
