"""The compiled decoder against the same thing in plain words, and against scikit-image."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from skimage.segmentation import watershed

from hoverfast_platform.config import InstanceDecoding
from hoverfast_platform.half_precision import to_float32
from hoverfast_platform.hv.components import connected_runs, fill_holes, keep_large_parts
from hoverfast_platform.hv.decode import border_steepness, decode_instance_map
from tests.unit.hv import plain_decode


def random_maps(seed, shape=(60, 90), smooth_px=2.5):
    """Blobs that touch, with holes and specks, and waves that cut them."""
    rng = np.random.default_rng(seed)
    noise = gaussian_filter(rng.normal(size=(3, *shape)), (0, smooth_px, smooth_px))
    noise /= noise.std()
    probability = 1 / (1 + np.exp(-2 * noise[0] - rng.uniform(-1, 2)))
    return probability.astype(np.float16), np.tanh(noise[1:]).astype(np.float16)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([1.0, 2.5, 4.0]),
    st.sampled_from([1, 10]),
    st.sampled_from([0.03, 0.08, 0.2]),
)
def test_equals_the_plain_decoder(seed, smooth_px, min_marker_area_px, steepness):
    probability, hv_maps = random_maps(seed, smooth_px=smooth_px)
    decoding = InstanceDecoding(min_marker_area_px=min_marker_area_px, border_steepness=steepness)

    instances = decode_instance_map(probability, hv_maps, decoding=decoding)

    plain = plain_decode.decode_plainly(
        probability.astype(np.float32), hv_maps.astype(np.float32), decoding
    )
    assert np.array_equal(instances, plain)


def test_the_plain_decoder_sees_clumps():
    """What the test above compares would mean little if hardly any piece were cut."""
    probability, hv_maps = random_maps(1, shape=(200, 224))
    n_pieces, _ = cv2.connectedComponents((probability >= 0.45).astype(np.uint8), connectivity=4)

    assert decode_instance_map(probability, hv_maps).max() > 1.5 * n_pieces


def test_agrees_with_a_watershed_of_unrounded_steepness():
    """Levels of 1/1024 move hardly a pixel, against scikit-image on the floats themselves."""
    probability, hv_maps = random_maps(7, shape=(300, 336), smooth_px=4)
    instances = decode_instance_map(probability, hv_maps)
    steepness = border_steepness(*(to_float32(m) for m in hv_maps))
    cores = np.where(steepness < 0.05, instances, 0)
    cores = cv2.morphologyEx(cores.astype(np.int16), cv2.MORPH_OPEN, np.ones((3, 3)))

    grown = watershed(steepness, cores.astype(np.int32), mask=instances > 0)

    both = grown > 0
    assert (grown == instances)[both].mean() > 0.98


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([(0, 4), (1, 8)]))
def test_runs_form_the_components_opencv_finds(seed, reach_and_connectivity):
    reach, connectivity = reach_and_connectivity
    rng = np.random.default_rng(seed)
    shape = rng.integers(1, 40, 2)
    mask = (rng.random(shape) > rng.uniform(0.2, 0.8)).astype(np.uint8)
    for wanted in (0, 1):
        runs, n_components = connected_runs(mask, wanted, reach)

        painted = np.zeros(mask.shape, np.int32)
        for y, x0, x1, component in runs:
            painted[y, x0:x1] = component + 1
        n, labels = cv2.connectedComponents((mask == wanted).astype(np.uint8), None, connectivity)
        assert n_components == n - 1
        assert np.array_equal(painted, plain_decode.in_raster_order(labels))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_holes_and_small_parts_as_in_plain_words(seed):
    rng = np.random.default_rng(seed)
    mask = (rng.random((40, 50)) > rng.uniform(0.2, 0.6)).astype(np.uint8)
    filled = mask.copy()
    fill_holes(filled, plain_decode.MAX_HOLE_AREA_PX)
    kept = filled.copy()
    runs, n_parts = keep_large_parts(kept, 10)

    assert np.array_equal(filled, plain_decode.fill_holes(mask))
    assert np.array_equal(kept, plain_decode.without_small(filled, 10))
    assert n_parts == cv2.connectedComponents(kept, connectivity=4)[0] - 1
    assert kept.sum() == (runs[:, 2] - runs[:, 1]).sum()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_maps_that_are_no_numbers_do_no_harm(value):
    """A network gone wrong must not make compiled code write outside its arrays."""
    probability, hv_maps = random_maps(3)
    hv_maps[:, 20:30, 20:60] = value
    probability[40:45] = np.nan

    instances = decode_instance_map(probability, hv_maps)

    assert instances.max() > 0
    assert (instances[40:45] == 0).all()


def test_every_half_becomes_the_same_single():
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16)

    assert np.array_equal(to_float32(halves), halves.astype(np.float32), equal_nan=True)


def test_planes_of_any_layout_are_widened():
    halves = np.arange(24, dtype=np.float16).reshape(2, 3, 4).transpose(0, 2, 1)

    assert np.array_equal(to_float32(halves), halves.astype(np.float32))
    assert to_float32(halves.astype(np.float64)).dtype == np.float32
