import numpy as np
import pytest

from hoverfast_platform.config import InstanceDecoding
from hoverfast_platform.errors import ArrayContractError
from hoverfast_platform.hv.decode import border_steepness, decode_instance_map


def maps_of(discs, shape=(96, 128)):
    """Perfect maps of discs (x, y, radius); later discs lie on top."""
    yy, xx = np.mgrid[: shape[0], : shape[1]]
    probability = np.zeros(shape, np.float32)
    hv_maps = np.zeros((2, *shape), np.float32)
    for x, y, radius in discs:
        inside = (xx - x) ** 2 + (yy - y) ** 2 <= radius**2
        probability[inside] = 0.9
        hv_maps[0][inside] = (xx[inside] - x) / radius
        hv_maps[1][inside] = (yy[inside] - y) / radius
    return probability, hv_maps


def test_touching_nuclei_come_apart():
    instances = decode_instance_map(*maps_of([(40, 48, 14), (66, 48, 14)]))

    assert instances.max() == 2
    assert instances[48, 40] != instances[48, 66]


def test_single_nucleus_is_its_whole_foreground():
    probability, hv_maps = maps_of([(40, 48, 14)])

    instances = decode_instance_map(probability, hv_maps)

    assert np.array_equal(instances == 1, probability >= InstanceDecoding().foreground_threshold)


def test_no_foreground_gives_no_nuclei():
    assert decode_instance_map(np.zeros((32, 36)), np.zeros((2, 32, 36))).max() == 0


def test_numbers_follow_raster_order_without_gaps():
    instances = decode_instance_map(*maps_of([(100, 20, 9), (20, 60, 9), (60, 40, 9), (72, 40, 9)]))

    flat = instances[instances > 0]
    _, first = np.unique(flat, return_index=True)
    assert list(np.unique(flat)) == [1, 2, 3, 4]
    assert list(first) == sorted(first)


def test_small_hole_is_filled_and_large_lumen_is_kept():
    probability, hv_maps = maps_of([(40, 48, 30)])
    probability[46:50, 38:42] = 0
    small = decode_instance_map(probability, hv_maps)
    probability[33:63, 25:55] = 0
    large = decode_instance_map(probability, hv_maps)

    assert small[48, 40] > 0
    assert large[48, 40] == 0


def test_a_nucleus_is_the_same_in_a_larger_region():
    """What lies far away in the region must not change a nucleus: nothing is normalised."""
    probability, hv_maps = maps_of([(40, 48, 12), (61, 48, 12)])
    wide_probability, wide_hv = maps_of([(40, 48, 12), (61, 48, 12), (150, 30, 25)], (96, 200))

    alone = decode_instance_map(probability, hv_maps)
    among_others = decode_instance_map(wide_probability, wide_hv)[:, :100]

    for label in (1, 2):
        pixels = alone == label
        assert len(np.unique(among_others[: pixels.shape[0]][pixels[:, :100]])) == 1


def test_perfect_border_has_steepness_one():
    hv_maps = np.zeros((2, 40, 44), np.float32)
    hv_maps[0, :, :20], hv_maps[0, :, 20:] = 1, -1

    assert border_steepness(*hv_maps)[20].max() == pytest.approx(1.0, abs=1e-5)
    assert border_steepness(*-hv_maps)[20, 15:25].max() == pytest.approx(0.0, abs=1e-5)


def test_misfitting_maps_are_refused():
    with pytest.raises(ArrayContractError, match="channels-first"):
        decode_instance_map(np.zeros((8, 8)), np.zeros((8, 8, 2)))


def test_threshold_is_honoured():
    probability, hv_maps = maps_of([(40, 48, 14)])
    strict = InstanceDecoding(foreground_threshold=0.95)

    assert decode_instance_map(probability, hv_maps, decoding=strict).max() == 0
