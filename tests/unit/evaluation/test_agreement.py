import numpy as np
import pytest

from hoverfast_platform.errors import ArrayContractError
from hoverfast_platform.evaluation.agreement import (
    BOTH_COLOUR,
    REFERENCE_COLOUR,
    STUDENT_COLOUR,
    draw_agreement,
)

TISSUE = np.full((40, 60, 3), 100, dtype=np.uint8)


def nucleus(x0, x1, y0=10, y1=30, number=1):
    instances = np.zeros((40, 60), dtype=np.int32)
    instances[y0:y1, x0:x1] = number
    return instances


def colours(picture):
    return {tuple(int(v) for v in colour) for colour in picture.reshape(-1, 3)}


def test_full_agreement_is_white_borders_on_tissue():
    picture = draw_agreement(TISSUE, nucleus(10, 30), nucleus(10, 30, number=7))

    assert colours(picture) == {(78, 78, 78), BOTH_COLOUR}
    assert tuple(picture[10, 10]) == BOTH_COLOUR
    assert tuple(picture[20, 20]) == (78, 78, 78)  # the chromatin stays visible


def test_outlines_a_pixel_apart_agree():
    picture = draw_agreement(TISSUE, nucleus(10, 30), nucleus(11, 31))

    assert BOTH_COLOUR in colours(picture)
    assert not {STUDENT_COLOUR, REFERENCE_COLOUR} & colours(picture)


def test_nucleus_of_one_map_only_has_its_colour():
    only_student = draw_agreement(TISSUE, nucleus(0, 0), nucleus(10, 30))
    only_reference = draw_agreement(TISSUE, nucleus(10, 30), nucleus(0, 0))

    assert tuple(only_student[10, 15]) == STUDENT_COLOUR
    assert tuple(only_reference[10, 15]) == REFERENCE_COLOUR
    assert only_student[20, 20, 1] > 140 > only_student[20, 20, 0]  # tinted green
    assert only_reference[20, 20, 0] > 140 > only_reference[20, 20, 1]  # tinted magenta


def test_a_split_that_one_map_lacks_is_drawn():
    split = nucleus(10, 20) + nucleus(20, 30, number=2)

    picture = draw_agreement(TISSUE, nucleus(10, 30), split)

    assert tuple(picture[20, 19]) == STUDENT_COLOUR


def test_image_is_not_changed_and_sizes_must_match():
    before = TISSUE.copy()
    draw_agreement(TISSUE, nucleus(10, 30), nucleus(10, 30))

    np.testing.assert_array_equal(TISSUE, before)
    with pytest.raises(ArrayContractError, match="one size"):
        draw_agreement(TISSUE[1:], nucleus(10, 30), nucleus(10, 30))
