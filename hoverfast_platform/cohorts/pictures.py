"""Learning curves as a picture, for the Dagster UI and reports."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from hoverfast_platform.arrays import RgbImage
from hoverfast_platform.training.run_folder import Validation

_WIDTH_PX, _HEIGHT_PX, _LEFT_PX, _BOTTOM_PX = 640, 360, 52, 36
_CURVES = (
    ("loss", (90, 90, 90)),
    ("dice", (0, 140, 60)),
    ("aji", (30, 80, 220)),
    ("pq", (200, 60, 30)),
)
"""Which curves are drawn, and in which colour (RGB); the loss as a share of its largest value."""


def draw_learning_curves(validations: Sequence[Validation]) -> RgbImage:
    """Loss (share of its largest) and validation scores over steps, 640 x 360 px."""
    canvas = np.full((_HEIGHT_PX, _WIDTH_PX, 3), 255, dtype=np.uint8)
    last_step = max((v.step for v in validations), default=1)
    largest_loss = max((v.loss for v in validations), default=1.0) or 1.0
    for tenth in range(0, 11, 2):
        y = _y(tenth / 10)
        cv2.line(canvas, (_LEFT_PX, y), (_WIDTH_PX - 12, y), (225, 225, 225), 1)
        _write(canvas, f"{tenth / 10:.1f}", (10, y + 5), (90, 90, 90))
    for i, (name, colour) in enumerate(_CURVES):
        scale = largest_loss if name == "loss" else 1.0
        points = [(_x(v.step, last_step), _y(getattr(v, name) / scale)) for v in validations]
        cv2.polylines(canvas, [np.array(points, np.int32)], False, colour, 2, cv2.LINE_AA)
        for point in points:
            cv2.circle(canvas, point, 3, colour, -1, cv2.LINE_AA)
        label = f"loss / {largest_loss:.2f}" if name == "loss" else name
        _write(canvas, label, (_LEFT_PX + 8 + 140 * i, 16), colour)
    _write(canvas, f"step {last_step}", (_WIDTH_PX - 110, _HEIGHT_PX - 10), (90, 90, 90))
    return canvas


def _x(step: int, last_step: int) -> int:
    return _LEFT_PX + round((_WIDTH_PX - _LEFT_PX - 16) * step / last_step)


def _y(share: float) -> int:
    return 26 + round((_HEIGHT_PX - _BOTTOM_PX - 26) * (1 - min(1.0, max(0.0, share))))


def _write(canvas: RgbImage, text: str, at: tuple[int, int], colour: tuple[int, int, int]) -> None:
    cv2.putText(canvas, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, 1, cv2.LINE_AA)
