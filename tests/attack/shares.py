"""What the tests of network shares have in common: a mounted share, an engine, a tiny slide."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from hoverfast_platform.catalogue import Catalogue
from hoverfast_platform.use_cases.segment_slides import segment_slides
from tests.attack.effort import IS_FULL
from tests.builders import write_slide
from tests.scaling.fake_predictor import FakePredictor, fake_engine


def _why_not():
    if not Path("/dev/fuse").exists() or os.geteuid() != 0:
        return "mounting needs /dev/fuse and root"
    if shutil.which("fusermount3") is None:
        return "fusermount3 (package fuse3) is not here"
    try:
        import mfusepy  # noqa: F401
    except (ImportError, OSError) as error:  # OSError: libfuse is not here
        return f"mfusepy cannot be used: {error}"
    return ""


WHY_NOT = _why_not()
ON_A_SHARE = [pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT), pytest.mark.timeout(7200)]
KINDS = ["away", "once", "stale"] if IS_FULL else ["away"]


@pytest.fixture
def share(tmp_path):
    from tests.attack.network_share import mounted_share  # needs FUSE

    with mounted_share(tmp_path / "server", tmp_path / "share") as mounted:
        yield mounted


@pytest.fixture(scope="module")
def engine():
    with fake_engine(FakePredictor()) as made:
        yield made


def write_tiny_slide(path, seed=0):
    rgb = np.random.default_rng(seed).integers(120, 220, (96, 136, 3), dtype=np.uint8)
    return write_slide(path, np.kron(rgb, np.ones((2, 2, 1), np.uint8)), tile_px=128)


def segment(slide, out, engine, catalogue):
    with Catalogue.open(catalogue) as opened:
        (outcome,) = segment_slides([slide], out, engine=engine, catalogue=opened)
    return outcome
