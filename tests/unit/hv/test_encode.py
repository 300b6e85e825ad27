"""HV targets: each half normalised from the centre of mass, and decoding gives the nuclei back."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hoverfast_platform.hv.decode import decode_instance_map
from hoverfast_platform.hv.encode import encode_hv_maps


def _disc(shape, cy, cx, r):
    y, x = np.ogrid[: shape[0], : shape[1]]
    return (y - cy) ** 2 + (x - cx) ** 2 <= r * r


def _encode_one_by_one(instance_map):
    """HoVer-Net's own way: nucleus after nucleus."""
    hv = np.zeros((2, *instance_map.shape))
    for nucleus in set(np.unique(instance_map)) - {0}:
        for plane, position in enumerate(np.nonzero(instance_map == nucleus)[::-1]):
            distance = (position - np.floor(position.mean() + 0.5)).astype(float)
            if distance.min() < 0:
                distance[distance < 0] /= -distance.min()
            if distance.max() > 0:
                distance[distance > 0] /= distance.max()
            hv[plane][instance_map == nucleus] = distance
    return hv


def test_each_half_reaches_one_from_the_centre_of_mass():
    instances = np.zeros((1, 6), dtype=np.int32)
    instances[0, 1:6] = 7

    horizontal, vertical = encode_hv_maps(instances)

    assert horizontal.tolist() == [[0, -1, -0.5, 0, 0.5, 1]]
    assert not vertical.any()


def test_centre_of_an_uneven_nucleus_is_its_mass_not_its_box():
    instances = np.array([[1, 1, 1, 1, 1], [1, 0, 0, 0, 0], [1, 0, 0, 0, 0], [1, 0, 0, 0, 0]])

    horizontal, _ = encode_hv_maps(instances)

    # mean x is 10 / 8, rounded to 1
    np.testing.assert_allclose(horizontal[0], [-1, 0, 1 / 3, 2 / 3, 1])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_equals_the_plain_way(seed):
    rng = np.random.default_rng(seed)
    instances = np.zeros((40, 50), dtype=np.int32)
    for number in rng.permutation(100)[:8]:
        disc = _disc(instances.shape, *rng.integers(0, 40, 2), rng.integers(1, 9))
        instances[disc] = number

    np.testing.assert_allclose(encode_hv_maps(instances), _encode_one_by_one(instances), atol=1e-6)


def test_empty_map_gives_zeros():
    assert not encode_hv_maps(np.zeros((5, 7), dtype=np.int32)).any()


def test_decoding_perfect_maps_gives_touching_nuclei_back():
    truth = np.zeros((90, 98), dtype=np.int32)
    truth[_disc(truth.shape, 45, 30, 15)] = 1
    truth[_disc(truth.shape, 45, 56, 14) & (truth == 0)] = 2

    found = decode_instance_map((truth > 0).astype(np.float32), encode_hv_maps(truth))

    assert found.max() == 2
    for nucleus in (1, 2):
        inside = truth == nucleus
        number = np.bincount(found[inside]).argmax()
        both = inside & (found == number)
        assert both.sum() / (inside | (found == number)).sum() > 0.95
