"""Post-processing in worker processes: maps of a region in, nuclei of its tile out.

What workers import has neither torch nor Dagster in it (see the import contracts). Maps and
pixels reach them through shared memory, nuclei come back as small arrays.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from uuid import UUID

import cv2
import numpy as np
import numpy.typing as npt

from hoverfast_platform.arrays import (
    ForegroundProbability,
    InstanceMap,
    RgbImage,
)
from hoverfast_platform.child_processes import starting_children
from hoverfast_platform.compiled import is_kept
from hoverfast_platform.config import SegmentationSettings
from hoverfast_platform.errors import ComputeError
from hoverfast_platform.freed_memory import keep_freed_memory
from hoverfast_platform.geometry import Box, ModelLattice, Mpp
from hoverfast_platform.half_precision import to_float32
from hoverfast_platform.hv.decode import split_foreground
from hoverfast_platform.hv.flooding import grow_markers
from hoverfast_platform.inference.region_slots import RegionSlots, SlotAddress, attached_slots
from hoverfast_platform.nuclei.contours import COORDINATE_DECIMALS, trace_rings
from hoverfast_platform.nuclei.measurements import measure_pixels, measure_polygons
from hoverfast_platform.nuclei.nucleus import Nuclei, measurement_columns
from hoverfast_platform.nuclei.ownership import describe_instances, is_owned
from hoverfast_platform.storage.blocks import BlockStore
from hoverfast_platform.tiling import Tile

_LOG = logging.getLogger(__name__)

STALLED_S = 600.0
"""No worker takes ten minutes for a region: it hangs."""
_TERMINATION_S = 1.0
"""A worker that was asked to end, and has not after so long, is frozen."""


class StalledWorkersError(ComputeError):
    """Workers that do not answer any more."""

    def __init__(self) -> None:
        super().__init__(
            f"No post-processing worker answered for {STALLED_S:.0f} s.",
            "The machine may be overloaded or a disk may hang; run again.",
        )


@dataclass(frozen=True)
class RegionTask:
    """What to do with the maps of one region.

    Attributes:
        tile: Owns the nuclei; its region is where the maps lie.
        lattice: Scale to level-0 pixels, and the slide's size.
        slide_mpp: Micrometres per level-0 pixel.
        settings: How instances are told apart and outlined, and what is measured on them.
    """

    tile: Tile
    lattice: ModelLattice
    slide_mpp: Mpp
    settings: SegmentationSettings


@dataclass(frozen=True)
class PhaseSeconds:
    """Seconds that each phase took, summed over threads and processes; phases overlap.

    Attributes:
        read: Slide file to pixels.
        predict: Pixels to maps.
        decode: Maps to instances.
        contour: Instances to polygons.
        measure: Polygons and pixels to measurements.
    """

    read: float = 0.0
    predict: float = 0.0
    decode: float = 0.0
    contour: float = 0.0
    measure: float = 0.0

    def __add__(self, other: PhaseSeconds) -> PhaseSeconds:
        mine, others = asdict(self), asdict(other)
        return PhaseSeconds(**{phase: mine[phase] + others[phase] for phase in mine})


@dataclass(frozen=True)
class RegionNuclei:
    """Nuclei of one tile and what finding them took.

    Attributes:
        nuclei: Those the tile owns.
        labels: ``(N,)`` their numbers in the region's instance map.
        n_dropped_invalid: Owned nuclei without a valid polygon after rounding.
        seconds: A worker knows its own phases; the engine adds reading and predicting.
    """

    nuclei: Nuclei
    labels: np.ndarray[tuple[int], np.dtype[np.int64]]
    n_dropped_invalid: int
    seconds: PhaseSeconds


def post_process(
    maps: npt.NDArray[np.floating], rgb: RgbImage, task: RegionTask
) -> tuple[RegionNuclei, InstanceMap]:
    """Decode a region, keep what its tile owns, and measure it.

    Args:
        maps: ``(2, H, W)`` of the region, as :data:`PredictedMaps` or in single precision.
        rgb: ``(H, W, 3)`` the region's pixels as the slide has them.
        task: Where it lies and how to decode.

    Returns:
        The nuclei, and the region's whole instance map.
    """
    started = time.perf_counter()
    region = task.tile.region
    probability = _inside_slide(to_float32(maps[0]), region, task.lattice.box)
    decoding = task.settings.decoding
    instances = split_foreground(probability, maps[1], decoding)
    decoded = time.perf_counter()
    found = describe_instances(instances, probability, region)
    lattice = task.lattice
    pixel_area_um2 = lattice.scale_x * lattice.scale_y * task.slide_mpp.pixel_area_um2
    inside = task.tile.box.clipped(lattice.box)
    found = found.take(
        is_owned(found.centroid_xy_px, inside)
        & (found.area_px * pixel_area_um2 >= decoding.min_nucleus_area_um2)
    )
    rings = trace_rings(instances, found.labels, region, lattice, task.settings.outlines)
    kept = found.take(rings.is_valid)
    traced = time.perf_counter()
    area_um2 = kept.area_px * pixel_area_um2
    stain = task.settings.staining.stain
    measured = {
        "area_um2": area_um2.astype(np.float32),
        "equivalent_diameter_um": np.sqrt(4 / np.pi * area_um2).astype(np.float32),
        "confidence": kept.confidence,
        **measure_polygons(rings.vertices_xy, rings.starts, task.slide_mpp),
        **measure_pixels(instances, kept.labels, rgb, stain),
        "mask_border_um": np.full(len(kept.labels), np.nan, np.float32),  # known to the slide
    }
    nuclei = Nuclei(
        centroid_xy=kept.centroid_xy_px * (lattice.scale_x, lattice.scale_y),
        vertices_xy=rings.vertices_xy,
        ring_starts=rings.starts,
        tile_index=np.full(len(kept.labels), task.tile.index, np.int32),
        decimals=COORDINATE_DECIMALS,
        measurements={name: measured[name] for name in measurement_columns(stain)},
    )
    result = RegionNuclei(
        nuclei,
        kept.labels,
        int(np.count_nonzero(~rings.is_valid)),
        PhaseSeconds(
            decode=decoded - started,
            contour=traced - decoded,
            measure=time.perf_counter() - traced,
        ),
    )
    return result, instances


def _inside_slide(
    probability: ForegroundProbability, region: Box, slide: Box
) -> ForegroundProbability:
    """The probability with nothing beyond the slide's border, where the network saw a mirror.

    A nucleus cut by the border would be one with its mirror image otherwise: its centroid would
    lie on the border, by chance on the side that no tile owns.
    """
    seen = region.clipped(slide)
    if seen == region:
        return probability
    inside = np.zeros_like(probability)
    rows = slice(seen.y0 - region.y0, seen.y1 - region.y0)
    columns = slice(seen.x0 - region.x0, seen.x1 - region.x0)
    inside[rows, columns] = probability[rows, columns]
    return inside


def warm_up() -> None:
    """Compile, or load, what :func:`post_process` needs, on a region of two touching nuclei."""
    side = 64
    y, x = np.mgrid[:side, :side]
    maps = np.zeros((2, side, side), np.float16)
    for centre in (20, 44):
        maps[0, (x - centre) ** 2 + (y - side // 2) ** 2 < 13**2] = 1
    maps[1, :, 31:34] = 1
    box = Box.at_origin(width=side, height=side)
    lattice = ModelLattice(1, 1, side, side)
    task = RegionTask(Tile(0, box, box), lattice, Mpp(1, 1), SegmentationSettings())
    post_process(maps, np.zeros((side, side, 3), np.uint8), task)


def _process_slot(address: SlotAddress, slot: int, task: RegionTask) -> RegionNuclei:
    """Run in a worker: post-process the region in one slot."""
    maps, pixels = attached_slots(address)
    return post_process(maps[slot].copy(), pixels[slot].copy(), task)[0]


def loaded_modules() -> frozenset[str]:
    """Top-level modules the current process has imported; tests ask workers."""
    return frozenset(name.partition(".")[0] for name in sys.modules)


def _pid_after_pause() -> int:
    time.sleep(0.02)
    return os.getpid()


class WorkerPool:
    """Post-processing processes, started once and shared by all slides of a run.

    Must be made in the main thread. Spawned, never forked: the parent has threads, and
    perhaps CUDA.
    """

    def __init__(self, n_workers: int) -> None:
        self.n_workers = n_workers
        if not is_kept(grow_markers):
            _LOG.warning(
                "The loops of post-processing are compiled first, which takes ten seconds or more. "
                "`hoverfast warm-up` does it ahead."
            )
        self._pool = ProcessPoolExecutor(
            n_workers,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start_worker,
            initargs=(os.getpid(),),
        )
        with starting_children():
            for _ in range(n_workers):  # processes start on demand: ask each once
                self._pool.submit(time.sleep, 0.05)

    def submit(self, slots: RegionSlots, slot: int, task: RegionTask) -> Future[RegionNuclei]:
        """Post-process the region in a slot."""
        return self._pool.submit(_process_slot, slots.address, slot, task)

    def submit_features(
        self, blocks: BlockStore, index: int, namespace: UUID, *, width: float, height: float
    ) -> Future[npt.NDArray[np.uint8]]:
        """Write and check a block's part of the GeoJSON file, see ``write_features``."""
        return self._pool.submit(
            blocks.write_features, index, namespace, width=width, height=height
        )

    def worker_modules(self) -> frozenset[str]:
        """What a worker has imported."""
        return self._pool.submit(loaded_modules).result()

    def answering(self) -> frozenset[int]:
        """Process ids of those that answer now; all of them once the pool has started."""
        pauses = [self._pool.submit(_pid_after_pause) for _ in range(self.n_workers)]
        return frozenset(pause.result() for pause in pauses)

    def pids(self) -> tuple[int, ...]:
        """Process ids of the workers."""
        return tuple(self._pool._processes or ())

    def close(self) -> None:
        """End all workers; safe after one died or was frozen."""
        processes = list((self._pool._processes or {}).values())
        _end(processes)
        self._pool.shutdown(wait=True, cancel_futures=True)
        for process in processes:
            process.join(5)


def _end(processes: Sequence[BaseProcess]) -> None:
    """Ask processes to end, and kill those that do not."""
    for process in processes:
        process.terminate()
    give_up_at = time.monotonic() + _TERMINATION_S
    alive = list(processes)
    while (alive := [p for p in alive if p.is_alive()]) and time.monotonic() < give_up_at:
        connection.wait([process.sentinel for process in alive], _TERMINATION_S / 10)
    for process in alive:
        process.kill()


def _start_worker(parent_pid: int) -> None:
    """Leave signals to the parent, and end when it is gone."""
    keep_freed_memory()
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGHUP"):  # a terminal that closes tells all its processes
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, args=(parent_pid,), daemon=True).start()
    warm_up()


def _end_with_parent(parent_pid: int) -> None:
    while os.getppid() == parent_pid:
        time.sleep(0.5)
    os._exit(1)
