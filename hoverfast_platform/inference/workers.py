"""Post-processing in worker processes: maps of a region in, nuclei of its tile out.

What workers import has neither torch nor Dagster in it (see the import contracts). Maps
reach them through shared memory, nuclei come back as small arrays.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import shared_memory

import numpy as np

from hoverfast_platform.arrays import InstanceMap, PredictedMaps
from hoverfast_platform.config import InstanceDecoding
from hoverfast_platform.geometry import Box, ModelLattice, Mpp
from hoverfast_platform.hv.decode import decode_instance_map
from hoverfast_platform.nuclei.contours import COORDINATE_DECIMALS, trace_rings
from hoverfast_platform.nuclei.nucleus import Nuclei
from hoverfast_platform.nuclei.ownership import describe_instances, is_owned


@dataclass(frozen=True)
class RegionTask:
    """What to do with the maps of one region.

    Attributes:
        tile: Owns the nuclei, model pixels.
        region: Where the maps lie, model pixels.
        lattice: Scale to level-0 pixels, and the slide's size.
        slide_mpp: Micrometres per level-0 pixel.
        decoding: How instances are told apart.
    """

    tile: Box
    region: Box
    lattice: ModelLattice
    slide_mpp: Mpp
    decoding: InstanceDecoding


@dataclass(frozen=True)
class RegionNuclei:
    """Nuclei of one tile and what finding them took.

    Attributes:
        nuclei: Those the tile owns.
        labels: ``(N,)`` their numbers in the region's instance map.
        n_dropped_invalid: Owned nuclei without a valid polygon after rounding.
        seconds_decode: Maps to instances.
        seconds_contour: Instances to polygons and measurements.
    """

    nuclei: Nuclei
    labels: np.ndarray[tuple[int], np.dtype[np.int64]]
    n_dropped_invalid: int
    seconds_decode: float
    seconds_contour: float


def post_process(maps: PredictedMaps, task: RegionTask) -> tuple[RegionNuclei, InstanceMap]:
    """Decode a region and keep what its tile owns.

    Args:
        maps: ``(3, H, W)`` of the region.
        task: Where it lies and how to decode.

    Returns:
        The nuclei, and the region's whole instance map.
    """
    started = time.perf_counter()
    probability = maps[0].astype(np.float32)
    instances = decode_instance_map(
        probability, maps[1:].astype(np.float32), decoding=task.decoding
    )
    decoded = time.perf_counter()
    found = describe_instances(instances, probability, task.region)
    lattice = task.lattice
    pixel_area_um2 = lattice.scale_x * lattice.scale_y * task.slide_mpp.pixel_area_um2
    inside = task.tile.clipped(lattice.box)
    found = found.take(
        is_owned(found.centroid_xy_px, inside)
        & (found.area_px * pixel_area_um2 >= task.decoding.min_nucleus_area_um2)
    )
    rings = trace_rings(instances, found.labels, task.region, lattice)
    kept = found.take(rings.is_valid)
    nuclei = Nuclei(
        centroid_xy=kept.centroid_xy_px * (lattice.scale_x, lattice.scale_y),
        vertices_xy=rings.vertices_xy,
        ring_starts=rings.starts,
        decimals=COORDINATE_DECIMALS,
        measurements={
            "area_um2": (kept.area_px * pixel_area_um2).astype(np.float32),
            "perimeter_um": (rings.perimeter_px * task.slide_mpp.mean).astype(np.float32),
            "confidence": kept.confidence,
        },
    )
    result = RegionNuclei(
        nuclei,
        kept.labels,
        int(np.count_nonzero(~rings.is_valid)),
        decoded - started,
        time.perf_counter() - decoded,
    )
    return result, instances


class MapSlots:
    """Shared memory for the maps of several regions of one shape; a slot holds one region."""

    def __init__(self, n_slots: int, region_shape: tuple[int, int]) -> None:
        self.shape = (n_slots, 3, *region_shape)
        self._memory = shared_memory.SharedMemory(
            create=True, size=int(np.prod(self.shape)) * np.dtype(np.float16).itemsize
        )
        self.maps: PredictedMaps = np.ndarray(self.shape, np.float16, self._memory.buf)
        self.free = list(range(n_slots))

    @property
    def name(self) -> str:
        return self._memory.name

    def close(self) -> None:
        """Give the memory back."""
        del self.maps
        self._memory.close()
        self._memory.unlink()


_attached: dict[str, shared_memory.SharedMemory] = {}


def _process_slot(name: str, shape: tuple[int, ...], slot: int, task: RegionTask) -> RegionNuclei:
    """Run in a worker: post-process the maps in one slot."""
    if name not in _attached:
        for old in _attached.values():
            old.close()
        _attached.clear()
        _attached[name] = shared_memory.SharedMemory(name=name)
    maps = np.ndarray(shape, np.float16, _attached[name].buf)[slot].copy()
    return post_process(maps, task)[0]


def loaded_modules() -> frozenset[str]:
    """Top-level modules the current process has imported; tests ask workers."""
    return frozenset(name.partition(".")[0] for name in sys.modules)


class WorkerPool:
    """Post-processing processes, started once and shared by all slides of a run.

    Must be made in the main thread. Spawned, never forked: the parent has threads, and
    perhaps CUDA.
    """

    def __init__(self, n_workers: int) -> None:
        self._pool = ProcessPoolExecutor(
            n_workers,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start_worker,
            initargs=(os.getpid(),),
        )
        with _main_not_imported_again():
            for _ in range(n_workers):  # processes start on demand: ask each once
                self._pool.submit(time.sleep, 0.05)

    def submit(self, slots: MapSlots, slot: int, task: RegionTask) -> Future[RegionNuclei]:
        """Post-process a slot's maps."""
        return self._pool.submit(_process_slot, slots.name, slots.shape, slot, task)

    def worker_modules(self) -> frozenset[str]:
        """What a worker has imported."""
        return self._pool.submit(loaded_modules).result()

    def pids(self) -> tuple[int, ...]:
        """Process ids of the workers."""
        return tuple(self._pool._processes or ())

    def close(self) -> None:
        """End all workers; safe after one died. Terminates first: waiting alone can hang."""
        processes = list((self._pool._processes or {}).values())
        for process in processes:
            process.terminate()
        self._pool.shutdown(wait=True, cancel_futures=True)
        for process in processes:
            process.join(5)


def _start_worker(parent_pid: int) -> None:
    """Leave signals to the parent, and end when it is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, args=(parent_pid,), daemon=True).start()


def _end_with_parent(parent_pid: int) -> None:
    while os.getppid() == parent_pid:
        time.sleep(0.5)
    os._exit(1)


@contextlib.contextmanager
def _main_not_imported_again() -> Iterator[None]:
    """Let spawned children start without the parent's ``__main__``.

    Workers need nothing of it, and under Dagster it would cost each of them 3 to 4 s and the
    memory of Dagster. ``multiprocessing.spawn`` looks at these two attributes.
    """
    main = sys.modules["__main__"]
    spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    main.__spec__ = None
    if file is not None:
        del main.__file__
    try:
        yield
    finally:
        main.__spec__ = spec
        if file is not None:
            main.__file__ = file
