"""Scores of a predicted instance map against a reference, from one sparse table of overlaps.

The table says which nuclei of two instance maps share how many pixels; every score except the
detection F1 is arithmetic on it. Nothing here knows models or files.

Sources:
    Dice: Dice, Ecology 26 (1945) 297, on nuclear pixels.
    AJI: Kumar et al., IEEE TMI 36 (2017) 1550, algorithm 1.
    DQ, SQ, PQ: Kirillov et al., CVPR 2019, at IoU > 0.5, one class.
    Detection F1: Graham et al. (HoVer-Net), Medical Image Analysis 58 (2019) 101563, which
    pairs centroids at most 12 px apart at 0.25 um/px.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching
from scipy.spatial import KDTree

from hoverfast_platform.arrays import InstanceMap, PointsXY
from hoverfast_platform.errors import ArrayContractError, SettingsError
from hoverfast_platform.scores import SCORE_NAMES

DETECTION_RADIUS_UM = 3.0
"""12 px at 0.25 um/px: how far apart two centroids of one nucleus may lie."""

MATCH_IOU = 0.5
"""Above it a nucleus can match one other only (Kirillov et al.), so no assignment is solved."""


@dataclass(frozen=True)
class Scores:
    """How well one predicted instance map agrees with its reference, each score 0..1.

    Two maps without nuclei agree: every score is 1. Where just one has nuclei, every score
    is 0. SQ is the mean IoU of matched nuclei, and 0 where none matched.

    Attributes:
        dice: Dice of nuclear pixels, whichever nucleus they belong to.
        aji: Aggregated Jaccard index.
        dq: Detection quality: F1 of nuclei matched at IoU > 0.5.
        sq: Segmentation quality: mean IoU of the matched nuclei.
        pq: Panoptic quality, ``dq * sq``.
        f1: Detection F1 of centroids within a radius.
        precision: Share of predicted nuclei that match one of the reference, IoU > 0.5.
        recall: Share of the reference's nuclei that match a predicted one, IoU > 0.5.
        n_true: Nuclei in the reference.
        n_predicted: Nuclei predicted.
    """

    dice: float
    aji: float
    dq: float
    sq: float
    pq: float
    f1: float
    precision: float
    recall: float
    n_true: int
    n_predicted: int


def score(
    true: InstanceMap,
    predicted: InstanceMap,
    *,
    mpp: float,
    detection_radius_um: float = DETECTION_RADIUS_UM,
) -> Scores:
    """Score a predicted instance map.

    Ids need not be consecutive, and an id in several pieces is one nucleus.

    AJI is Kumar's: each true nucleus takes the predicted one of highest IoU (the lowest id
    among equals), and one predicted nucleus may be taken several times. So does HoVer-Net's
    ``get_fast_aji``; its ``get_fast_aji_plus`` takes each at most once and is higher where
    nuclei were merged. The detection F1 pairs as many centroids within the radius as can be
    paired uniquely; HoVer-Net pairs for the least total distance first and drops pairs that
    are too far, so that two nuclei shifted alike can cost it the pair between them.

    Args:
        true: ``(H, W)`` of integers, 0 is background.
        predicted: ``(H, W)`` of integers, of the same size.
        mpp: Micrometres per pixel of both, for the radius of detection.
        detection_radius_um: Largest distance of two centroids that are one detection.

    Raises:
        ArrayContractError: If they are not instance maps, or differ in size.
        SettingsError: If ``mpp`` is not a positive number.
    """
    _check(true, predicted)
    if not (math.isfinite(mpp) and mpp > 0):
        raise SettingsError(f"mpp must be a positive number of micrometres, got {mpp}.")
    table = _Overlaps.of(true, predicted)
    n_true, n_predicted = len(table.true_areas), len(table.predicted_areas)
    if n_true == 0 or n_predicted == 0:
        value = 1.0 if n_true == n_predicted else 0.0
        scores: dict[str, Any] = dict.fromkeys(SCORE_NAMES, value)
        return Scores(**scores, n_true=n_true, n_predicted=n_predicted)
    matched_iou = table.iou[table.iou > MATCH_IOU]
    dq = 2 * len(matched_iou) / (n_true + n_predicted)
    sq = float(matched_iou.mean()) if len(matched_iou) else 0.0
    n_detected = _n_paired(
        _centroids(true, table.true_ids),
        _centroids(predicted, table.predicted_ids),
        detection_radius_um / mpp,
    )
    return Scores(
        dice=float(2 * table.n_px.sum() / (table.true_areas.sum() + table.predicted_areas.sum())),
        aji=_aji(table),
        dq=dq,
        sq=sq,
        pq=dq * sq,
        f1=2 * n_detected / (n_true + n_predicted),
        precision=len(matched_iou) / n_predicted,
        recall=len(matched_iou) / n_true,
        n_true=n_true,
        n_predicted=n_predicted,
    )


_Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Overlaps:
    """Which nuclei share pixels.

    Row ``k`` says that nuclei ``true_index[k]`` and ``predicted_index[k]``, positions in the
    lists of ids, share ``n_px[k]`` pixels.
    """

    true_ids: _Ints
    predicted_ids: _Ints
    true_areas: _Ints
    predicted_areas: _Ints
    true_index: _Ints
    predicted_index: _Ints
    n_px: _Ints

    @classmethod
    def of(cls, true: InstanceMap, predicted: InstanceMap) -> _Overlaps:
        """Make the table by one sort over the pixels that are nuclear in either map."""
        is_nuclear = (true > 0) | (predicted > 0)
        t, p = true[is_nuclear].astype(np.int64), predicted[is_nuclear].astype(np.int64)
        base = int(p.max(initial=0)) + 1
        pairs, n_px = np.unique(t * base + p, return_counts=True)
        t, p = np.divmod(pairs, base)
        true_ids, true_areas = _areas(t, n_px)
        predicted_ids, predicted_areas = _areas(p, n_px)
        shared = (t > 0) & (p > 0)
        return cls(
            true_ids,
            predicted_ids,
            true_areas,
            predicted_areas,
            np.searchsorted(true_ids, t[shared]),
            np.searchsorted(predicted_ids, p[shared]),
            n_px[shared],
        )

    @property
    def iou(self) -> npt.NDArray[np.float64]:
        return np.asarray(self.n_px / self.union_px)

    @property
    def union_px(self) -> _Ints:
        areas = self.true_areas[self.true_index] + self.predicted_areas[self.predicted_index]
        return np.asarray(areas - self.n_px)


def _areas(ids: _Ints, n_px: _Ints) -> tuple[_Ints, _Ints]:
    """Distinct ids above 0, ascending, and the pixels of each."""
    distinct, where = np.unique(ids, return_inverse=True)
    areas = np.zeros(len(distinct), dtype=np.int64)
    np.add.at(areas, where, n_px)
    is_nucleus = distinct > 0
    return distinct[is_nucleus], areas[is_nucleus]


def _aji(table: _Overlaps) -> float:
    """Kumar's aggregated Jaccard index; both maps have nuclei."""
    order = np.lexsort((table.predicted_index, -table.iou, table.true_index))
    touched, first = np.unique(table.true_index[order], return_index=True)
    best = order[first]
    missed = np.ones(len(table.true_areas), dtype=bool)
    missed[touched] = False
    unused = np.ones(len(table.predicted_areas), dtype=bool)
    unused[table.predicted_index[best]] = False
    union = (
        table.union_px[best].sum()
        + table.true_areas[missed].sum()
        + table.predicted_areas[unused].sum()
    )
    return float(table.n_px[best].sum() / union)


def _centroids(instances: InstanceMap, ids: _Ints) -> PointsXY:
    """Mean pixel position of each id, (x, y)."""
    y, x = np.nonzero(instances)
    index = np.searchsorted(ids, instances[y, x])
    n_px = np.bincount(index, minlength=len(ids))
    return np.stack([np.bincount(index, x) / n_px, np.bincount(index, y) / n_px], axis=1)


def _n_paired(true_xy: PointsXY, predicted_xy: PointsXY, radius_px: float) -> int:
    """Most pairs of points within ``radius_px`` such that no point is used twice."""
    near = KDTree(true_xy).sparse_distance_matrix(
        KDTree(predicted_xy), radius_px, output_type="coo_matrix"
    )
    # Only which are near counts: a distance of 0 must not read as "no edge".
    edges = csr_array(
        (np.ones(len(near.row), dtype=np.int8), (near.row, near.col)), shape=near.shape
    )
    return int((maximum_bipartite_matching(edges) >= 0).sum())


def _check(true: InstanceMap, predicted: InstanceMap) -> None:
    for name, array in (("true", true), ("predicted", predicted)):
        if array.ndim != 2 or array.dtype.kind not in "iu":
            raise ArrayContractError(
                f"The {name} instance map must be (H, W) of integers, "
                f"got shape {array.shape} of {array.dtype}.",
                "An RGB label picture must be turned into ids first.",
            )
        if array.size and (array.min() < 0 or array.max() > np.iinfo(np.int32).max):
            raise ArrayContractError(
                f"The {name} instance map has ids from {array.min()} to {array.max()}; expected "
                "0 (background) to 2147483647.",
                "The file was perhaps read with the wrong integer type.",
            )
    if true.shape != predicted.shape:
        raise ArrayContractError(
            f"The instance maps differ in size: true {true.shape}, predicted {predicted.shape}.",
            "Both must be of the same image at the same mpp.",
        )
