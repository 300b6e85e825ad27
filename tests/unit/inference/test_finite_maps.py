"""Maps in half precision are looked through by their bits."""

import numpy as np

from hoverfast_platform.inference.adapted_model import _is_finite


def test_every_value_of_half_precision_is_told_to_be_finite_or_not():
    values = np.arange(1 << 16, dtype=np.uint16).view(np.float16)

    told = [_is_finite(np.array([0.5, value, -0.25], np.float16)) for value in values]

    assert told == np.isfinite(values).tolist()
    assert _is_finite(values[:0])
