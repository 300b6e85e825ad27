"""The engine's iterator over regions: what a caller gets, and what leaving early gives back."""

import contextlib
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from hoverfast_platform import interruption
from hoverfast_platform.config import SegmentationSettings, Tiling
from hoverfast_platform.errors import CheckpointError, ComputeError, Interrupted
from hoverfast_platform.geometry import ModelLattice
from hoverfast_platform.inference import engine as engine_module
from hoverfast_platform.inference.adapted_model import AdaptedModel
from hoverfast_platform.inference.engine import SegmentationEngine
from hoverfast_platform.inference.region_slots import RegionSlots, attached_slots
from hoverfast_platform.model.checkpoint import load_model
from hoverfast_platform.slide.array_reader import ArrayReader
from hoverfast_platform.stain import StainNormalisation
from hoverfast_platform.tiling import plan_tiles
from tests.scaling.fake_predictor import FakePredictor

SETTINGS = SegmentationSettings(tiling=Tiling(tile_size_px=128))


@pytest.fixture(scope="module")
def engine():
    with SegmentationEngine.fitting(load_model("cross-organ"), FakePredictor(), 1) as engine:
        yield engine


@pytest.fixture
def slots_made(monkeypatch):
    """Addresses of the shared memory that the engine asked for."""
    names = []

    class NotedSlots(RegionSlots):
        def __init__(self, *args):
            super().__init__(*args)
            names.append(self.address)

    monkeypatch.setattr(engine_module, "RegionSlots", NotedSlots)
    return names


def regions(engine, predictor=None):
    reader = ArrayReader(np.full((640, 896, 3), 200, np.uint8), mpp=0.25)
    info = reader.info
    lattice = ModelLattice.of(
        width=info.width, height=info.height, slide_mpp=info.mpp, model_mpp=0.25
    )
    plan = plan_tiles(lattice, SETTINGS.tiling, lambda *_box: True, engine.field_of_view)
    shown = AdaptedModel(predictor or engine.predictor, "he", StainNormalisation())
    return plan, engine.regions(reader, plan, plan.tiles, SETTINGS, shown)


def test_a_signal_whose_exception_was_dropped_ends_the_regions(engine, monkeypatch):
    monkeypatch.setattr(interruption, "_received", [signal.SIGTERM])
    _, found = regions(engine)

    with pytest.raises(Interrupted), contextlib.closing(found):
        list(found)


def is_gone(address):
    """A nameless file of the engine's process, or another one since."""
    return not Path(address.path).exists() or "memfd:hoverfast" not in str(
        Path(address.path).readlink()
    )


def helpers():
    return [t.name for t in threading.enumerate() if t.name.startswith(("read", "predict"))]


def test_every_tile_comes_once_with_nuclei_and_what_each_phase_took(engine, slots_made):
    plan, found = regions(engine)

    by_index = {tile.index: region for tile, region in found}

    assert sorted(by_index) == [tile.index for tile in plan.tiles]
    assert all(len(region.nuclei) for region in by_index.values())
    assert all(
        region.seconds.read > 0 and region.seconds.predict > 0 and region.seconds.decode > 0
        for region in by_index.values()
    )
    assert len(slots_made) == 1
    assert is_gone(slots_made[0])


def test_leaving_early_ends_threads_gives_memory_back_and_keeps_the_workers(engine, slots_made):
    pids = engine.worker_pool().pids()
    _, found = regions(engine)

    with contextlib.closing(found):
        next(found)
        assert helpers()
        assert not is_gone(slots_made[0])

    assert not helpers()
    assert is_gone(slots_made[0])
    assert engine.worker_pool().pids() == pids
    assert engine.worker_pool().answering() == frozenset(pids)


def test_a_device_that_fails_frees_memory_and_the_next_slide_gets_workers(engine, slots_made):
    class Failing(FakePredictor):
        def predict(self, regions):
            raise ComputeError("The device fell off the bus.", "Put it back.")

    _, found = regions(engine, Failing())

    with pytest.raises(ComputeError, match="fell off"):
        list(found)

    assert not helpers()
    assert is_gone(slots_made[0])
    plan, found = regions(engine)
    assert len(list(found)) == len(plan.tiles)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_maps_that_are_not_finite_are_the_models_fault_and_not_no_nuclei(engine, value, dtype):
    class Diverged(FakePredictor):
        def predict(self, regions):
            maps = super().predict(regions).astype(dtype)
            maps[-1, 1, -1, -2] = value
            return maps

    _, found = regions(engine, Diverged())

    with pytest.raises(CheckpointError, match="The model predicts values that are not finite"):
        list(found)


@pytest.mark.parametrize("is_nameless", [True, False])
def test_slots_show_workers_what_the_engine_wrote_and_leave_no_file(
    is_nameless, monkeypatch, tmp_path
):
    if not is_nameless:  # not on Linux
        monkeypatch.delattr("os.memfd_create")
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    first, second = RegionSlots(2, (6, 10)), RegionSlots(3, (6, 10))
    second.maps[2, 1, 5, 9], second.pixels[2, 5, 9] = 0.5, (1, 2, 3)

    assert attached_slots(first.address)[0].shape == (2, 2, 6, 10)
    maps, pixels = attached_slots(second.address)

    assert float(maps[2, 1, 5, 9]) == 0.5
    assert pixels[2, 5, 9].tolist() == [1, 2, 3]
    first.close()
    second.close()
    assert is_gone(first.address)
    assert is_gone(second.address)
    assert not list(tmp_path.iterdir())


def test_too_little_memory_for_the_slots_is_a_named_error_and_no_bus_error(monkeypatch):
    def refused(*_arguments):
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr("mmap.mmap", refused)
    with pytest.raises(ComputeError, match="There is no room for 1 MiB"):
        RegionSlots(2, (256, 300))


def test_a_frozen_worker_keeps_nobody_waiting_who_leaves(engine, slots_made, monkeypatch):
    monkeypatch.setattr(engine_module, "_LEAVING_S", 0.5)
    (pid,) = engine.worker_pool().answering()
    _, found = regions(engine)
    with contextlib.closing(found):
        next(found)
        os.kill(pid, signal.SIGSTOP)
        started = time.monotonic()

    assert time.monotonic() - started < 5
    assert is_gone(slots_made[0])
    assert not Path(f"/proc/{pid}").exists()
    plan, found = regions(engine)
    assert len(list(found)) == len(plan.tiles)


def test_frozen_workers_are_an_error_after_a_while_and_the_next_slide_gets_others(
    engine, monkeypatch
):
    for pid in engine.worker_pool().answering():
        os.kill(pid, signal.SIGSTOP)
    _, found = regions(engine)

    with monkeypatch.context() as patience:
        patience.setattr(engine_module, "STALLED_S", 0.5)
        with pytest.raises(ComputeError, match="No post-processing worker answered"):
            list(found)

    plan, found = regions(engine)
    assert len(list(found)) == len(plan.tiles)
