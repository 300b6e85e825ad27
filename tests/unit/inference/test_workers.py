"""Post-processing of one region: what its tile owns at the slide's border."""

import multiprocessing

import numpy as np
import pytest

from hoverfast_platform.config import Compute, SegmentationSettings
from hoverfast_platform.errors import SettingsError
from hoverfast_platform.geometry import Box, ModelLattice, Mpp
from hoverfast_platform.inference.engine import SegmentationEngine
from hoverfast_platform.inference.workers import RegionTask, post_process
from hoverfast_platform.tiling import Tile

SIDE_PX, MARGIN_PX, RADIUS_PX = 128, 32, 12


@pytest.mark.parametrize(
    "centre_xy", [(-3, 60), (60, -3), (SIDE_PX + 3, 60), (60, SIDE_PX + 3), (-1, -1)]
)
def test_a_nucleus_that_the_slide_cuts_is_kept_as_far_as_the_slide_goes(centre_xy):
    """The network sees a mirror beyond the border, and predicts a whole nucleus whose centre may
    lie out there, where no tile owns it."""
    slide = Box.of(x=0, y=0, width=SIDE_PX, height=SIDE_PX)
    region = slide.grown(MARGIN_PX)
    y, x = np.mgrid[region.y0 : region.y1, region.x0 : region.x1]
    dx, dy = x - centre_xy[0], y - centre_xy[1]
    inside = dx**2 + dy**2 < RADIUS_PX**2
    maps = np.zeros((2, *inside.shape), np.float16)
    maps[0, inside] = 1  # no border inside the nucleus
    lattice = ModelLattice(1, 1, SIDE_PX, SIDE_PX)
    task = RegionTask(Tile(0, slide, region), lattice, Mpp(0.25, 0.25), SegmentationSettings())
    rgb = np.full((*inside.shape, 3), 120, np.uint8)

    found, _ = post_process(maps, rgb, task)

    assert len(found.nuclei) == 1
    on_slide = inside & (x >= 0) & (y >= 0) & (x < SIDE_PX) & (y < SIDE_PX)
    area_um2 = float(found.nuclei.measurements["area_um2"][0])
    assert area_um2 == pytest.approx(on_slide.sum() * 0.25**2)
    assert found.nuclei.vertices_xy.min() >= 0
    assert found.nuclei.vertices_xy.max() <= SIDE_PX


def test_workers_for_slides_start_before_the_device_and_end_if_that_fails():
    with SegmentationEngine.of(compute=Compute(n_workers=2), for_slides=True) as engine:
        pids = engine.worker_pool().pids()
        assert len(pids) == 2
        assert {child.pid for child in multiprocessing.active_children()} >= set(pids)
    assert not {child.pid for child in multiprocessing.active_children()} & set(pids)
    before = {child.pid for child in multiprocessing.active_children()}

    with pytest.raises(SettingsError, match="fp16"):
        SegmentationEngine.of(compute=Compute(device="cpu", precision="fp16"), for_slides=True)

    assert {child.pid for child in multiprocessing.active_children()} <= before
