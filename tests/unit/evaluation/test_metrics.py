import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hoverfast_platform.errors import ArrayContractError, SettingsError
from hoverfast_platform.evaluation.metrics import score
from hoverfast_platform.scores import SCORE_NAMES


def grid(*rows):
    return np.array([[int(c) for c in row] for row in rows], dtype=np.int32)


def values(scores):
    return {name: getattr(scores, name) for name in SCORE_NAMES}


def brute_force(true, predicted, *, mpp, radius_um=3.0):
    """The definitions, read aloud: sets of pixels, every pair, every pairing."""

    def pixels(instances):
        return {
            int(i): set(map(tuple, np.argwhere(instances == i))) for i in np.unique(instances) if i
        }

    a, b = pixels(true), pixels(predicted)
    if not a or not b:
        return dict.fromkeys(SCORE_NAMES, float(bool(a) == bool(b)))
    iou = {(i, j): len(a[i] & b[j]) / len(a[i] | b[j]) for i in a for j in b}
    inside_a, inside_b = set.union(*a.values()), set.union(*b.values())
    matched = [value for value in iou.values() if value > 0.5]
    dq = len(matched) / (
        len(matched) + 0.5 * (len(b) - len(matched)) + 0.5 * (len(a) - len(matched))
    )
    sq = sum(matched) / len(matched) if matched else 0.0
    intersection = union = 0
    used = set()
    for i in sorted(a):
        j = max(sorted(b), key=lambda j: iou[i, j])
        if iou[i, j] == 0:
            union += len(a[i])
            continue
        used.add(j)
        intersection += len(a[i] & b[j])
        union += len(a[i] | b[j])
    union += sum(len(b[j]) for j in b if j not in used)
    few, many = sorted([list(a.values()), list(b.values())], key=len)
    n_detected = max(
        sum(
            np.linalg.norm(np.mean(list(p), 0) - np.mean(list(q), 0)) * mpp <= radius_um
            for p, q in zip(few, chosen, strict=True)
        )
        for chosen in itertools.permutations(many, len(few))
    )
    return {
        "dice": 2 * len(inside_a & inside_b) / (len(inside_a) + len(inside_b)),
        "aji": intersection / union,
        "dq": dq,
        "sq": sq,
        "pq": dq * sq,
        "f1": 2 * n_detected / (len(a) + len(b)),
        "precision": len(matched) / len(b),
        "recall": len(matched) / len(a),
    }


def test_equal_maps_score_one():
    instances = grid("110022", "110022", "000000", "333000")

    assert set(values(score(instances, instances, mpp=0.25)).values()) == {1.0}


def test_half_of_one_nucleus():
    true = grid("1111", "1111")
    predicted = grid("1111", "0000")

    found = score(true, predicted, mpp=0.25)

    assert found.dice == pytest.approx(2 * 4 / 12)
    assert found.aji == pytest.approx(0.5)
    assert (found.dq, found.sq, found.pq) == (0, 0, 0)  # IoU 0.5 is not above 0.5
    assert found.f1 == 1  # the centroids are half a pixel apart
    assert (found.n_true, found.n_predicted) == (1, 1)


def test_two_nuclei_merged_into_one():
    true = grid("11112222", "11112222")
    predicted = grid("33333333", "33333333")

    found = score(true, predicted, mpp=0.25, detection_radius_um=0.6)

    assert found.dice == 1
    assert found.aji == pytest.approx((8 + 8) / (16 + 16))  # Kumar's takes the one twice
    assert found.pq == 0
    assert found.f1 == pytest.approx(2 * 1 / 3)  # one of the two may claim it


def test_match_miss_and_invention():
    true = grid("1110000000", "1110000220", "0000000220")
    predicted = grid("1110000000", "1100550000", "0000550000")

    found = score(true, predicted, mpp=1.0, detection_radius_um=1.0)

    assert found.dice == pytest.approx(2 * 5 / (10 + 9))
    assert found.dq == pytest.approx(1 / (1 + 0.5 + 0.5))
    assert found.sq == pytest.approx(5 / 6)
    assert found.pq == pytest.approx(5 / 12)
    assert found.aji == pytest.approx(5 / (6 + 4 + 4))
    assert found.f1 == pytest.approx(0.5)


def test_radius_is_in_micrometres():
    true = grid("1000000000000000000000")
    predicted = grid("0000000000001000000000")  # 12 px away

    assert score(true, predicted, mpp=0.25).f1 == 1
    assert score(true, predicted, mpp=0.26).f1 == 0


def test_pairs_within_the_radius_come_before_least_total_distance():
    true = np.zeros((1, 20), dtype=np.int32)
    predicted = np.zeros((1, 20), dtype=np.int32)
    true[0, [0, 10]] = 1, 2
    predicted[0, [7, 17]] = 1, 2  # least distance in all: 0-7 and 10-17, both too far

    assert score(true, predicted, mpp=1.0).f1 == pytest.approx(0.5)


def test_both_empty_agree_and_one_empty_does_not():
    empty, full = np.zeros((3, 4), np.int32), np.ones((3, 4), np.int32)

    assert set(values(score(empty, empty, mpp=1)).values()) == {1.0}
    for pair in ((empty, full), (full, empty)):
        assert set(values(score(*pair, mpp=1)).values()) == {0.0}
    assert score(empty, full, mpp=1).n_predicted == 1
    assert set(values(score(empty[:0], empty[:0], mpp=1)).values()) == {1.0}


def test_ids_may_have_gaps_and_be_huge():
    true, predicted = grid("1120", "1020"), grid("1102", "3022")
    far = np.array([0, 7, 2**31 - 1, 900_000], dtype=np.int32)

    assert score(far[true], far[predicted], mpp=1) == score(true, predicted, mpp=1)


def test_unsigned_and_signed_maps_mix():
    true, predicted = grid("1120"), grid("1102")

    mixed = score(true.astype(np.uint16), predicted.astype(np.int64), mpp=1)

    assert mixed == score(true, predicted, mpp=1)


@pytest.mark.parametrize(
    ("true", "predicted", "text"),
    [
        (np.zeros((3, 4), int), np.zeros((4, 3), int), "differ in size"),
        (np.zeros((3, 4), float), np.zeros((3, 4), int), "of integers"),
        (np.zeros((3, 4), int), np.zeros((3, 4, 3), int), "of integers"),
        (np.zeros((3, 4), int), np.full((3, 4), -1), "ids from -1"),
        (np.full((3, 4), 2**31), np.zeros((3, 4), int), "to 2147483648"),
    ],
)
def test_what_is_no_pair_of_instance_maps_is_refused(true, predicted, text):
    with pytest.raises(ArrayContractError, match=text):
        score(true, predicted, mpp=0.25)


@pytest.mark.parametrize("mpp", [0, -1, float("nan")])
def test_absurd_mpp_is_refused(mpp):
    with pytest.raises(SettingsError, match="mpp"):
        score(grid("1"), grid("1"), mpp=mpp)


SHAPES = st.tuples(st.integers(1, 7), st.integers(1, 7))


@st.composite
def pairs_of_maps(draw):
    shape = draw(SHAPES)
    ids = st.sampled_from([0, 0, 1, 2, 3, 9])
    return tuple(draw(hnp.arrays(np.int32, shape, elements=ids)) for _ in range(2))


@settings(max_examples=200, deadline=None)
@given(pairs_of_maps())
def test_equals_brute_force(maps):
    expected = brute_force(*maps, mpp=0.7)

    assert values(score(*maps, mpp=0.7)) == pytest.approx(expected)


@settings(max_examples=50, deadline=None)
@given(pairs_of_maps())
def test_all_but_aji_are_symmetric_and_precision_is_recall_the_other_way_round(maps):
    one, other = values(score(*maps, mpp=0.7)), values(score(*maps[::-1], mpp=0.7))
    one.pop("aji"), other.pop("aji")
    other["precision"], other["recall"] = other["recall"], other["precision"]

    assert one == pytest.approx(other)
