"""A picture of where two instance maps agree: figure 2 of the HoverFast paper, on the tissue.

The picture is white where both see a nucleus, green where only the student does, and magenta where
only the reference does.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from hoverfast_platform.arrays import InstanceMap, RgbImage
from hoverfast_platform.errors import ArrayContractError

BOTH_COLOUR = (255, 255, 255)
STUDENT_COLOUR = (0, 255, 0)
REFERENCE_COLOUR = (255, 0, 255)

AGREEMENT_LEGEND = (
    "white: student and labels agree; green: only the student; magenta: only the labels"
)
"""The colours in words, for whoever shows the picture."""

_DIMMED = 0.78
"""Tissue is shown this bright, so that white lines stand out on pale stroma and glass."""

_TINT = 0.45
"""Share of the colour inside nuclei: the colour can be seen, and so can the chromatin."""


def draw_agreement(rgb: RgbImage, reference: InstanceMap, predicted: InstanceMap) -> RgbImage:
    """Dim the tissue, tint disagreeing pixels, and draw the border of every nucleus of either map.

    A border pixel is white where the other map has a border within a pixel of it, so that
    outlines one pixel apart read as agreement.

    Args:
        rgb: ``(H, W, 3)`` uint8.
        reference: ``(H, W)`` instance map.
        predicted: The student's, likewise.

    Raises:
        ArrayContractError: If sizes differ.
    """
    if not rgb.shape[:2] == reference.shape == predicted.shape:
        raise ArrayContractError(
            f"Image {rgb.shape}, reference {reference.shape} and predicted {predicted.shape} "
            "must be of one size."
        )
    in_reference, in_predicted = reference > 0, predicted > 0
    out = rgb * np.float32(_DIMMED)
    _tint(out, in_predicted & ~in_reference, STUDENT_COLOUR)
    _tint(out, in_reference & ~in_predicted, REFERENCE_COLOUR)
    picture = np.round(out).astype(np.uint8)
    reference_border, predicted_border = _borders(reference), _borders(predicted)
    picture[predicted_border] = STUDENT_COLOUR
    picture[reference_border] = REFERENCE_COLOUR
    picture[predicted_border & _grown(reference_border)] = BOTH_COLOUR
    picture[reference_border & _grown(predicted_border)] = BOTH_COLOUR
    return picture


def _tint(out: npt.NDArray[np.float32], where: npt.NDArray[np.bool_], colour: object) -> None:
    out[where] = (1 - _TINT) * out[where] + _TINT * np.asarray(colour, dtype=np.float32)


def _borders(instances: InstanceMap) -> npt.NDArray[np.bool_]:
    """Nuclear pixels with another nucleus or background to a side."""
    padded = np.pad(instances, 1, mode="edge")
    centre = padded[1:-1, 1:-1]
    sides = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    differs = np.zeros(instances.shape, dtype=bool)
    for side in sides:
        differs |= side != centre
    return differs & (instances > 0)


def _grown(border: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    grown = cv2.dilate(border.astype(np.uint8), np.ones((3, 3), np.uint8))
    return np.asarray(grown > 0)
