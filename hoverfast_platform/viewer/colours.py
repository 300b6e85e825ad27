"""The colours in which measurements are shown, the same on the page and in pictures made here."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

N_SHADES = 64

_STOPS = (
    (32, 60, 180),
    (0, 150, 230),
    (0, 190, 150),
    (190, 210, 30),
    (250, 150, 20),
    (215, 30, 40),
)
"""Colours from blue over green to red; stains of H&E usually have none of them."""


def shades() -> npt.NDArray[np.uint8]:
    """All shades from low to high, ``(64, 3)`` RGB."""
    at = np.linspace(0, len(_STOPS) - 1, N_SHADES)
    stops = np.array(_STOPS, float)
    channels = [np.interp(at, np.arange(len(stops)), stops[:, c]) for c in range(3)]
    return np.stack(channels, axis=1).round().astype(np.uint8)


def shade_index(values: npt.NDArray[np.floating], low: float, high: float) -> npt.NDArray[np.int64]:
    """The shade of each of ``(N,)`` values, 1..64; 0 where a value is missing."""
    share = (values.astype(float) - low) / (high - low or 1.0)
    index = 1 + np.clip(np.nan_to_num(share) * N_SHADES, 0, N_SHADES - 1).astype(np.int64)
    return np.where(np.isfinite(values), index, 0)
