"""How sure a mean over images is: percentile bootstrap, resampled by patient where known.

Images of one patient resemble each other, so drawing single images would make the interval
too narrow; whole groups are drawn instead (Efron & Tibshirani, An Introduction to the
Bootstrap, 1993, chapters 8 and 13). With few groups the interval is rough: two groups can be
drawn in three ways only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hoverfast_platform.errors import ArrayContractError
from hoverfast_platform.scores import Interval

N_RESAMPLES = 2000
CONFIDENCE = 0.95
SEED = 20_240_821
"""Fixed, so that the same scores always give the same interval."""


def bootstrap_mean(
    values: npt.ArrayLike,
    groups: Sequence[str],
    *,
    n_resamples: int = N_RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = SEED,
) -> Interval:
    """Mean of one value per image, and its interval from resampled groups.

    Args:
        values: ``(N,)``, N at least 1.
        groups: Group of each image: its patient, or the image itself where none is known.
        n_resamples: Number of draws.
        confidence: Share of the draws inside the interval.
        seed: Seed of the draws.

    Raises:
        ArrayContractError: If there are no values, or not as many groups.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or len(array) == 0 or len(groups) != len(array):
        raise ArrayContractError(
            f"Expected one value and one group per image, got values of shape {array.shape} "
            f"and {len(groups)} groups."
        )
    _, group_of = np.unique(np.asarray(groups), return_inverse=True)
    n_images = np.bincount(group_of)
    sums = np.bincount(group_of, array)
    n_groups = len(n_images)
    low = high = None
    if n_groups > 1:
        drawn = np.random.default_rng(seed).integers(n_groups, size=(n_resamples, n_groups))
        means = sums[drawn].sum(axis=1) / n_images[drawn].sum(axis=1)
        tail = (1 - confidence) / 2
        low, high = (float(q) for q in np.quantile(means, (tail, 1 - tail)))
    return Interval(float(array.mean()), low, high, len(array), n_groups)
