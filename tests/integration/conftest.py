"""The drawn slide, an engine, and the result that it gives."""

import pytest

from hoverfast_platform import segment_slide
from hoverfast_platform.config import (
    Compute,
)
from hoverfast_platform.inference.engine import SegmentationEngine
from tests.builders import write_slide
from tests.integration.drawn_slide import drawn_tissue, settings_of


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    return write_slide(tmp_path_factory.mktemp("slide") / "drawn.tiff", drawn_tissue(700, 900)[0])


@pytest.fixture(scope="module")
def engine():
    with SegmentationEngine.of(compute=Compute(n_workers=2)) as engine:
        yield engine


@pytest.fixture(scope="module")
def result(slide, engine, tmp_path_factory):
    return segment_slide(
        slide, out_dir=tmp_path_factory.mktemp("out"), engine=engine, settings=settings_of()
    )
