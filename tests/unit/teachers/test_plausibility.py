"""Which outlines count as those of nuclei."""

import numpy as np
import pytest

from hoverfast_platform.teachers.plausibility import implausible_share


def _disc(radius_px, centre=(64, 64)):
    y, x = np.mgrid[:128, :160]
    return (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius_px**2


def test_round_nuclei_are_plausible():
    assert implausible_share(_disc(12).astype(np.int32), 0.25) == 0


def test_nothing_is_plausible():
    assert implausible_share(np.zeros((64, 96), np.int32), 0.25) == 0


def test_size_is_judged_in_micrometres():
    disc = _disc(30).astype(np.int32)
    assert implausible_share(disc, 0.25) == 1  # 15 um across
    assert implausible_share(disc, 0.125) == 0


def test_share_is_of_area():
    merged = _disc(10, (30, 30)) | _disc(10, (30, 52))
    labels = merged.astype(np.int32)
    labels[_disc(10, (90, 140))] = 2

    assert implausible_share(labels, 0.25) == pytest.approx(2 / 3, abs=0.02)


def test_specks_are_not_judged():
    ragged = np.zeros((64, 96), np.int32)
    ragged[10, 10:20] = ragged[10:20, 10] = 1
    assert implausible_share(ragged, 0.25) == 0
