"""Names for the arrays that cross module borders: dtype, axes, range. Nothing else.

Arrays are row first (y, x); points and boxes are (x, y).
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

RgbImage: TypeAlias = npt.NDArray[np.uint8]
"""``(H, W, 3)``, 0..255, alpha already composed on white."""

ForegroundProbability: TypeAlias = npt.NDArray[np.floating]
"""``(H, W)``, 0..1: the network's belief that a pixel is nucleus."""

Foreground: TypeAlias = npt.NDArray[np.bool_]
"""``(H, W)``, True on nuclear pixels."""

HvMaps: TypeAlias = npt.NDArray[np.floating]
"""``(2, H, W)``, nominally -1..1; plane 0 horizontal (x), plane 1 vertical (y)."""

NetworkMaps: TypeAlias = npt.NDArray[np.float32]
"""``(3, H, W)``, as the network gives them: foreground probability, horizontal, vertical map."""

PredictedMaps: TypeAlias = npt.NDArray[np.float16]
"""``(2, H, W)``: foreground probability, and how steeply the HV maps fall (``hv.decode``).

What predictors hand to the workers. Half precision keeps shared memory small; its step of 0.0005
near 1 is far below what the decoder's thresholds can tell apart.
"""

InstanceMap: TypeAlias = npt.NDArray[np.int32]
"""``(H, W)``: 0 is background, 1..N one nucleus each."""

TissuePixels: TypeAlias = npt.NDArray[np.bool_]
"""``(H, W)``, True on tissue, at its own mpp; see :class:`hoverfast_platform.mask.TissueMask`."""

PointsXY: TypeAlias = npt.NDArray[np.float64]
"""``(N, 2)``, x then y, in the frame the name says."""
