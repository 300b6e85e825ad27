"""Where to look first: fields of view in which a result is least to be trusted.

Four things are suspicious: nuclei the model was unsure of, a field with far more or fewer nuclei
than its neighbours, nuclei much smaller or larger than those of the slide, and nuclei that only one
of two results of the slide has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from hoverfast_platform.storage.nuclei_lookup import NucleiLookup

FIELD_UM = 100.0
"""Side of a field of view: what a person judges in a few seconds."""

SAME_UM = 3.0
"""Centroids of two results that are nearer belong to one nucleus: small nuclei are wider."""

_MIN_NUCLEI = 5
_MIN_IN_BOTH = 3
_PSEUDO_COUNT = 3.0


@dataclass(frozen=True)
class FieldToReview:
    """A square to look at.

    Attributes:
        x0: Left border, level-0 pixels.
        y0: Upper border, level-0 pixels.
        side: Length of a side, level-0 pixels.
        score: How suspicious it is; the highest comes first.
        reason: Why it is suspicious, for people.
        n_nuclei: How many nuclei lie in it.
    """

    x0: float
    y0: float
    side: float
    score: float
    reason: str
    n_nuclei: int


def fields_to_review(
    lookup: NucleiLookup,
    size_px: tuple[int, int],
    mpp: float,
    *,
    others: Mapping[str, NucleiLookup] | None = None,
    n_wanted: int = 40,
) -> tuple[FieldToReview, ...]:
    """The most suspicious fields, most suspicious first.

    Args:
        lookup: The nuclei.
        size_px: (width, height) of the slide's frame, level-0 pixels.
        mpp: Micrometres per level-0 pixel.
        others: Further results of the slide, by name.
        n_wanted: The most fields to return.
    """
    side = FIELD_UM / mpp
    shape = (int(np.ceil(size_px[1] / side)), int(np.ceil(size_px[0] / side)))
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
    for name, other in (others or {}).items():
        share = _disagreement(lookup, other, side, shape, SAME_UM / mpp)
        suspicions[f"not as {name} has it"] = _standard(share)
    names = list(suspicions)
    scores = np.stack([np.nan_to_num(suspicions[name]) for name in names])
    best = scores.max(axis=0)
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


def _disagreement(
    here: NucleiLookup, there: NucleiLookup, side: float, shape: tuple[int, int], reach: float
) -> npt.NDArray[np.float64]:
    """Share of the nuclei of both results that only one has, by field; NaN where there are few."""
    mine, theirs = _centroids(here), _centroids(there)
    only_one, all_of_both = np.zeros(shape), np.zeros(shape)
    for xy, others in ((mine, theirs), (theirs, mine)):
        if len(xy):
            at = (
                np.clip((xy[:, 1] / side).astype(int), 0, shape[0] - 1),
                np.clip((xy[:, 0] / side).astype(int), 0, shape[1] - 1),
            )
            np.add.at(all_of_both, at, 1)
            np.add.at(only_one, at, ~_has_near(xy, others, reach))
    few = all_of_both < _MIN_IN_BOTH
    return np.where(few, np.nan, only_one / np.maximum(all_of_both, 1))


def _has_near(
    xy: npt.NDArray[np.float64], others: npt.NDArray[np.float64], reach: float
) -> npt.NDArray[np.bool_]:
    if not len(others):
        return np.zeros(len(xy), np.bool_)
    distances, _ = cKDTree(others).query(xy, distance_upper_bound=reach)
    return np.asarray(np.isfinite(distances), np.bool_)


def _centroids(lookup: NucleiLookup) -> npt.NDArray[np.float64]:
    """The centroids, ``(N, 2)`` x, y in level-0 pixels."""
    names = ["centroid_x", "centroid_y"]
    blocks = [np.stack([b[n] for n in names], axis=1) for b in lookup.iter_columns(names)]
    return np.concatenate([np.empty((0, 2)), *blocks])


def _density_step(counts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Distance of a field's count from its neighbours' mean, in deviations of the logarithm."""
    ring = np.ones((3, 3)) / 8
    ring[1, 1] = 0
    near = cv2.filter2D(counts, -1, ring, borderType=cv2.BORDER_REFLECT)
    step = np.abs(np.log((counts + _PSEUDO_COUNT) / (near + _PSEUDO_COUNT)))
    step[counts < _MIN_NUCLEI] = np.nan
    return np.abs(_standard(step)) * (step > np.nanmean(step) if np.isfinite(step).any() else 0)


def _standard(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Each value's distance from the mean in standard deviations; zero where all are equal."""
    finite = values[np.isfinite(values)]
    if len(finite) < 2 or finite.std() == 0:
        return np.zeros_like(values)
    standard: npt.NDArray[np.float64] = (values - finite.mean()) / finite.std()
    return standard
