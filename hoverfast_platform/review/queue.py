"""Where to look first: fields of view in which a result is least to be trusted.

Three things are suspicious: nuclei the model was unsure of, a field with far more or fewer nuclei
than its neighbours, and nuclei much smaller or larger than those of the slide.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from hoverfast_platform.storage.nuclei_lookup import NucleiLookup

FIELD_UM = 100.0
"""Side of a field of view: what a person judges in a few seconds."""

_MIN_NUCLEI = 5
_PSEUDO_COUNT = 3.0


@dataclass(frozen=True)
class FieldToReview:
    """A square to look at.

    Attributes:
        x0: Left border, level-0 pixels.
        y0: Upper border.
        side: Likewise.
        score: The higher, the earlier.
        reason: For people.
        n_nuclei: In it.
    """

    x0: float
    y0: float
    side: float
    score: float
    reason: str
    n_nuclei: int


def fields_to_review(
    lookup: NucleiLookup, width: int, height: int, mpp: float, n_wanted: int = 40
) -> tuple[FieldToReview, ...]:
    """The most suspicious fields, most suspicious first.

    Args:
        lookup: The nuclei.
        width: Of the slide's frame, level-0 pixels.
        height: Likewise.
        mpp: Micrometres per level-0 pixel.
        n_wanted: At most so many.
    """
    side = FIELD_UM / mpp
    shape = (int(np.ceil(height / side)), int(np.ceil(width / side)))
    counts = np.zeros(shape)
    sums = {name: np.zeros(shape) for name in ("confidence", "area_um2") if name in lookup.columns}
    for block in lookup.iter_columns(["centroid_x", "centroid_y", *sums]):
        at = (
            np.clip((block["centroid_y"] / side).astype(int), 0, shape[0] - 1),
            np.clip((block["centroid_x"] / side).astype(int), 0, shape[1] - 1),
        )
        np.add.at(counts, at, 1)
        for name, total in sums.items():
            np.add.at(total, at, np.nan_to_num(block[name]))
    suspicions = {"density unlike its neighbours": _density_step(counts)}
    with np.errstate(invalid="ignore", divide="ignore"):
        means = {
            name: np.where(counts >= _MIN_NUCLEI, s / counts, np.nan) for name, s in sums.items()
        }
    if "confidence" in means:
        suspicions["the model was unsure"] = -_standard(means["confidence"])
    if "area_um2" in means:
        suspicions["nuclei of unusual size"] = np.abs(_standard(np.log(means["area_um2"])))
    names = list(suspicions)
    scores = np.stack([np.nan_to_num(suspicions[name]) for name in names])
    best = scores.max(axis=0) * (counts > 0)
    order = np.argsort(best, axis=None)[::-1][:n_wanted]
    found = []
    for j, i in zip(*np.unravel_index(order, shape), strict=True):
        if best[j, i] > 0:
            reason = names[int(scores[:, j, i].argmax())]
            found.append(
                FieldToReview(
                    i * side, j * side, side, float(best[j, i]), reason, int(counts[j, i])
                )
            )
    return tuple(found)


def _density_step(counts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """How many standard deviations a field's count is from its neighbours' mean, as logarithms."""
    ring = np.ones((3, 3)) / 8
    ring[1, 1] = 0
    near = cv2.filter2D(counts, -1, ring, borderType=cv2.BORDER_REFLECT)
    step = np.abs(np.log((counts + _PSEUDO_COUNT) / (near + _PSEUDO_COUNT)))
    step[counts < _MIN_NUCLEI] = np.nan
    return np.abs(_standard(step)) * (step > np.nanmean(step) if np.isfinite(step).any() else 0)


def _standard(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """In standard deviations from the mean; all zero where there is no spread."""
    finite = values[np.isfinite(values)]
    if len(finite) < 2 or finite.std() == 0:
        return np.zeros_like(values)
    standard: npt.NDArray[np.float64] = (values - finite.mean()) / finite.std()
    return standard
