"""Reading, predicting and post-processing at the same time, with memory that does not grow.

Threads read regions ahead, one or more have them predicted, worker processes post-process.
All queues are bounded: by the calls the device takes at a time, by slots of shared memory.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, TypeAlias, TypeVar

import numpy as np

from hoverfast_platform.arrays import PredictedMaps
from hoverfast_platform.config import Compute, SegmentationSettings, Stain
from hoverfast_platform.cores import available_cores
from hoverfast_platform.errors import ComputeError
from hoverfast_platform.freed_memory import give_back_large_arrays
from hoverfast_platform.geometry import ModelLattice
from hoverfast_platform.inference.backends.choice import make_predictor
from hoverfast_platform.inference.backends.devices import resolve_devices
from hoverfast_platform.inference.backends.predictor import Predictor
from hoverfast_platform.inference.slide_predictor import (
    SlidePredictor,
    looks_at_samples,
    slide_predictor,
)
from hoverfast_platform.inference.workers import RegionNuclei, RegionSlots, RegionTask, WorkerPool
from hoverfast_platform.model.checkpoint import LoadedModel, load_model
from hoverfast_platform.model.registry import DEFAULT_MODEL
from hoverfast_platform.slide.reader import SlideReader
from hoverfast_platform.slide.resample import read_region_at
from hoverfast_platform.slide.samples import read_samples
from hoverfast_platform.tiling import FieldOfView, HasTissue, Tile, TilePlan

_N_READERS = 2
_READERS_SHARE = 3 / 8
"""Of the cores beside a GPU: reading a region takes a core about as long as post-processing it,
and one core is left to the threads that feed the device."""
_STALLED_S = 600.0
"""No worker takes ten minutes for a region: it hangs."""

_Item = TypeVar("_Item")
_Pixels: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
_Batch: TypeAlias = list[tuple[Tile, _Pixels]]
OnRegion = Callable[[Tile, RegionNuclei], None]


@dataclass
class PhaseSeconds:
    """Seconds per phase, summed over threads; reading overlaps with the others."""

    read: float = 0.0
    predict: float = 0.0
    decode: float = 0.0
    contour: float = 0.0
    measure: float = 0.0


@dataclass
class SegmentationEngine:
    """A loaded model and a pool of workers, shared by the slides of a run.

    Use as a context manager, in the main thread. Workers start with the first slide unless
    :meth:`of` was asked for them; after one died, the next slide gets new ones.
    """

    model: LoadedModel
    predictor: Predictor
    n_workers: int
    n_readers: int = _N_READERS
    _pool: WorkerPool | None = field(default=None, init=False)

    @classmethod
    def of(
        cls,
        model: str | Path | LoadedModel = DEFAULT_MODEL,
        compute: Compute = Compute(),
        *,
        for_slides: bool = False,
    ) -> SegmentationEngine:
        """Load a model onto the device the settings ask for.

        Args:
            model: Name, file, or loaded.
            compute: Device, precision, workers.
            for_slides: Start the workers now: they take seconds, and so does the device, at the
                same time. They start with the first slide otherwise; images need none.
        """
        give_back_large_arrays()
        pool = None
        if for_slides:
            n_workers = _fitting(resolve_devices(compute.device)[0])[1]
            pool = WorkerPool(compute.n_workers or n_workers)
        try:
            loaded = model if isinstance(model, LoadedModel) else load_model(model)
            engine = cls.fitting(loaded, make_predictor(loaded, compute), compute.n_workers)
        except BaseException:
            if pool is not None:
                pool.close()
            raise
        engine._pool = pool
        return engine

    @classmethod
    def fitting(
        cls, model: LoadedModel, predictor: Predictor, n_workers: int = 0
    ) -> SegmentationEngine:
        """With as many readers and workers as the available cores allow beside a predictor.

        Args:
            model: Whose predictor it is.
            predictor: On its device.
            n_workers: Instead of what fits; 0 takes that.
        """
        n_readers, fitting = _fitting(predictor.device)
        return cls(model, predictor, n_workers or fitting, n_readers)

    @property
    def field_of_view(self) -> FieldOfView:
        """What the model's network needs around the tiles."""
        architecture = self.model.network.architecture
        return FieldOfView(architecture.receptive_radius_px, architecture.multiple_px)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    def worker_pool(self) -> WorkerPool:
        """The workers, started if need be."""
        if self._pool is None:
            self._pool = WorkerPool(self.n_workers)
        return self._pool

    @contextlib.contextmanager
    def dead_workers_reported(self) -> Iterator[None]:
        """Make a worker's death an error that says what to do; the next slide gets new ones.

        Raises:
            ComputeError: Instead.
        """
        try:
            yield
        except BrokenProcessPool as error:
            self.close()
            raise ComputeError(
                "A post-processing worker died. Usually the kernel ended it because memory ran "
                "out.",
                "Run again: finished tile blocks are kept. Use fewer --workers or a smaller "
                "--tile-size if it happens again.",
            ) from error

    def for_slide(
        self, reader: SlideReader, lattice: ModelLattice, has_tissue: HasTissue, stain: Stain
    ) -> SlidePredictor:
        """The predictor as a slide needs it, from samples of its tissue.

        Raises:
            UnreadableSlideError: If a sample cannot be read.
        """
        samples = (
            read_samples(reader, lattice, has_tissue)
            if looks_at_samples(self.model.card, stain)
            else []
        )
        return slide_predictor(self.model, self.predictor, samples, stain)

    def _predicted(
        self, batches: Iterator[_Batch], predictor: SlidePredictor, seconds: PhaseSeconds
    ) -> Iterator[tuple[_Batch, PredictedMaps]]:
        """Batches with their maps, in order; one more than the device takes at a time waits."""

        def predict(batch: _Batch) -> tuple[PredictedMaps, float]:
            started = time.perf_counter()
            maps = predictor.predict([pixels for _, pixels in batch])
            return maps, time.perf_counter() - started

        n_concurrent = self.predictor.n_concurrent
        with ThreadPoolExecutor(n_concurrent, thread_name_prefix="predict") as threads:
            begun: deque[tuple[_Batch, Future[tuple[PredictedMaps, float]]]] = deque()
            try:
                for batch in batches:
                    begun.append((batch, threads.submit(predict, batch)))
                    if len(begun) > n_concurrent + 1:
                        yield _taken(begun, seconds)
                while begun:
                    yield _taken(begun, seconds)
            finally:
                for _, future in begun:
                    future.cancel()

    def run(
        self,
        reader: SlideReader,
        plan: TilePlan,
        tiles: Iterable[Tile],
        settings: SegmentationSettings,
        predictor: SlidePredictor,
        on_region: OnRegion,
    ) -> PhaseSeconds:
        """Find the nuclei of some tiles of a slide; ``on_region`` gets them in any order.

        Raises:
            UnreadableSlideError: If a region cannot be read.
            ComputeError: If the device fails or a worker dies.
        """
        with self.dead_workers_reported():
            return self._run(reader, plan, tiles, settings, predictor, on_region)

    def _run(
        self,
        reader: SlideReader,
        plan: TilePlan,
        tiles: Iterable[Tile],
        settings: SegmentationSettings,
        predictor: SlidePredictor,
        on_region: OnRegion,
    ) -> PhaseSeconds:
        seconds = PhaseSeconds()
        batch_size = self.predictor.batch_size(plan.region_shape)
        pool = self.worker_pool()
        slots = RegionSlots(batch_size + self.n_workers + 1, plan.region_shape)
        pending: dict[Future[RegionNuclei], tuple[int, Tile]] = {}
        try:
            pixels_ahead = _read_ahead(
                reader, plan, tiles, seconds, n_readers=self.n_readers, batch_size=batch_size
            )
            batches = _batches(pixels_ahead, batch_size)
            for batch, maps in self._predicted(batches, predictor, seconds):
                for (tile, pixels), region_maps in zip(batch, maps, strict=True):
                    while not slots.free:
                        _collect(pending, slots, seconds, on_region)
                    slot = slots.free.pop()
                    slots.maps[slot], slots.pixels[slot] = region_maps, pixels
                    task = RegionTask(
                        tile_index=tile.index,
                        tile=tile.box,
                        region=tile.region,
                        lattice=plan.lattice,
                        slide_mpp=reader.info.mpp,
                        settings=settings,
                    )
                    pending[pool.submit(slots, slot, task)] = (slot, tile)
                _collect(pending, slots, seconds, on_region, must_wait=False)
            while pending:
                _collect(pending, slots, seconds, on_region)
        finally:
            if pending:  # something failed: workers may be busy with slots that go away
                self.close()
            slots.close()
        return seconds


def _fitting(device: str) -> tuple[int, int]:
    """Readers and workers beside a device, on the available cores.

    Prediction fills a CPU by itself; a quarter of the cores keeps up with it. Beside a GPU all
    are free.
    """
    cores = available_cores()
    if device == "cpu":
        return _N_READERS, max(1, cores // 4)
    n_readers = max(_N_READERS, int(cores * _READERS_SHARE))
    return n_readers, max(1, cores - n_readers - 1)


def _taken(
    begun: deque[tuple[_Batch, Future[tuple[PredictedMaps, float]]]], seconds: PhaseSeconds
) -> tuple[_Batch, PredictedMaps]:
    """The oldest batch, once its maps are there."""
    batch, future = begun.popleft()
    maps, taken = future.result()
    seconds.predict += taken
    return batch, maps


def _collect(
    pending: dict[Future[RegionNuclei], tuple[int, Tile]],
    slots: RegionSlots,
    seconds: PhaseSeconds,
    on_region: OnRegion,
    *,
    must_wait: bool = True,
) -> None:
    """Hand over finished regions and free their slots; wait for at least one if asked to."""
    done, _ = wait(pending, _STALLED_S if must_wait else 0, FIRST_COMPLETED)
    if must_wait and not done:
        raise ComputeError(
            f"No post-processing worker answered for {_STALLED_S:.0f} s.",
            "The machine may be overloaded or a disk may hang; run again.",
        )
    for future in done:
        slot, tile = pending[future]
        region = future.result()
        del pending[future]
        slots.free.append(slot)
        seconds.decode += region.seconds_decode
        seconds.contour += region.seconds_contour
        seconds.measure += region.seconds_measure
        on_region(tile, region)


def _read_ahead(
    reader: SlideReader,
    plan: TilePlan,
    tiles: Iterable[Tile],
    seconds: PhaseSeconds,
    *,
    n_readers: int,
    batch_size: int,
) -> Iterator[tuple[Tile, _Pixels]]:
    """Tiles with their regions' pixels, read by threads a little ahead, in order."""

    def read(tile: Tile) -> _Pixels:
        started = time.perf_counter()
        pixels = read_region_at(reader, plan.lattice, tile.region)
        seconds.read += time.perf_counter() - started
        return pixels

    with ThreadPoolExecutor(n_readers, thread_name_prefix="read") as threads:
        ahead: deque[tuple[Tile, Future[_Pixels]]] = deque()
        try:
            for tile in tiles:
                ahead.append((tile, threads.submit(read, tile)))
                if len(ahead) > batch_size + n_readers:
                    oldest, future = ahead.popleft()
                    yield oldest, future.result()
            while ahead:
                oldest, future = ahead.popleft()
                yield oldest, future.result()
        finally:
            for _, future in ahead:
                future.cancel()


def _batches(items: Iterator[_Item], size: int) -> Iterator[list[_Item]]:
    batch: list[_Item] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
