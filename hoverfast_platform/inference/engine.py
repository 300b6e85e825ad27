"""Reading, predicting and post-processing at the same time, with memory that does not grow.

Threads read regions ahead, one or more have them predicted, worker processes post-process.
All queues are bounded: by the calls the device takes at a time, by slots of shared memory.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self, TypeAlias, TypeVar

import numpy as np

from hoverfast_platform.arrays import PredictedMaps
from hoverfast_platform.config import Compute, SegmentationSettings, Stain
from hoverfast_platform.cores import available_cores
from hoverfast_platform.errors import ComputeError
from hoverfast_platform.freed_memory import give_back_large_arrays
from hoverfast_platform.geometry import ModelLattice
from hoverfast_platform.inference.adapted_model import AdaptedModel, looks_at_samples
from hoverfast_platform.inference.backends.choice import make_predictor
from hoverfast_platform.inference.backends.devices import resolve_devices
from hoverfast_platform.inference.backends.predictor import Predictor
from hoverfast_platform.inference.region_slots import RegionSlots
from hoverfast_platform.inference.workers import (
    STALLED_S,
    PhaseSeconds,
    RegionNuclei,
    RegionTask,
    StalledWorkersError,
    WorkerPool,
)
from hoverfast_platform.interruption import is_interrupted, raise_if_interrupted
from hoverfast_platform.model.adapting import statistics_precision
from hoverfast_platform.model.checkpoint import LoadedModel, load_model
from hoverfast_platform.model.registry import DEFAULT_MODEL
from hoverfast_platform.provenance import Arithmetic, MaskSource, Provenance, SlideSource
from hoverfast_platform.slide.reader import SlideReader
from hoverfast_platform.slide.resample import read_region_at
from hoverfast_platform.slide.samples import read_samples
from hoverfast_platform.tiling import FieldOfView, HasTissue, Tile, TilePlan

_N_READERS = 2
_READERS_SHARE = 3 / 8
"""Share of the cores beside a GPU that read regions. Reading a region takes a core about as long
as post-processing it, and one core is left to the threads that feed the device."""
_LEAVING_S = 30.0
"""How long workers may take to end the regions they have begun, when nobody wants the rest."""

_Item = TypeVar("_Item")
_Pixels: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]


@dataclass(frozen=True)
class _ReadTile:
    """A tile, its region's pixels, and how long reading them took."""

    tile: Tile
    pixels: _Pixels
    seconds: float


@dataclass(frozen=True)
class _PredictedBatch:
    """Tiles that were predicted together, their maps ``(N, 2, H, W)``, and how long that took."""

    tiles: list[_ReadTile]
    maps: PredictedMaps
    seconds: float


@dataclass(frozen=True)
class _Pending:
    """What a worker is doing: whose region, in which slot, and what it took until then."""

    tile: Tile
    slot: int
    seconds: PhaseSeconds


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
            for_slides: Start the workers now, while the device starts; both take seconds.
                Otherwise they start with the first slide. Images need none.
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
        """Make an engine with as many readers and workers as the cores allow beside a predictor.

        Args:
            model: Whose predictor it is.
            predictor: On its device.
            n_workers: Instead of what fits; 0 takes that.
        """
        n_readers, fitting = _fitting(predictor.device)
        return cls(model, predictor, n_workers or fitting, n_readers)

    @classmethod
    @contextlib.contextmanager
    def given_or_own(cls, given: SegmentationEngine | None) -> Iterator[SegmentationEngine]:
        """The engine given, which stays open, or the default one for the time of a block."""
        if given is not None:
            yield given
            return
        with cls.of() as own:
            yield own

    @property
    def arithmetic(self) -> Arithmetic:
        """Where and how maps are computed."""
        predictor = self.predictor
        return Arithmetic(
            device=predictor.device,
            backend=predictor.backend,
            precision=predictor.precision,
            maps=predictor.arithmetic,
            statistics=statistics_precision(predictor.device),
        )

    def provenance(
        self, slide: SlideSource, mask: MaskSource | None, settings: SegmentationSettings
    ) -> Provenance:
        """What this engine's nuclei of a slide or a flat image are made from."""
        return Provenance.of(slide, mask, self.model.source, self.arithmetic, settings)

    @property
    def field_of_view(self) -> FieldOfView:
        """What the model's network needs around the tiles."""
        architecture = self.model.card.architecture
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
        except StalledWorkersError:
            self.close()
            raise
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
    ) -> AdaptedModel[PredictedMaps]:
        """The predictor as a slide needs it, from samples of its tissue.

        Raises:
            UnreadableSlideError: If a sample cannot be read.
        """
        samples = (
            read_samples(reader, lattice, has_tissue)
            if looks_at_samples(self.model.card, stain)
            else []
        )
        card = self.model.card
        return AdaptedModel.to(
            samples, self.predictor, card.appearance, card.statistics_share, stain
        )

    def regions(
        self,
        reader: SlideReader,
        plan: TilePlan,
        tiles: Iterable[Tile],
        settings: SegmentationSettings,
        model: AdaptedModel[PredictedMaps],
    ) -> Generator[tuple[Tile, RegionNuclei]]:
        """Tiles of a slide with the nuclei they own, in any order, as soon as they are found.

        Reading, predicting and post-processing go on while the caller has a region in hand, as
        far as the queues reach. A caller who leaves before the last region closes the iterator
        (``contextlib.closing``): that ends the threads and gives back the shared memory.

        Raises:
            UnreadableSlideError: If a region cannot be read.
            ComputeError: If the device fails or a worker dies.
            Interrupted: If a signal came.
        """
        batch_size = self.predictor.batch_size(plan.region_shape)
        reader.expect_readers(self.n_readers)
        pool = self.worker_pool()
        slots = RegionSlots(batch_size + self.n_workers + 1, plan.region_shape)
        pending: dict[Future[RegionNuclei], _Pending] = {}
        ahead = _read_ahead(reader, plan, tiles, self.n_readers, batch_size + self.n_readers)
        predicted = _predicted(_batches(ahead, batch_size), model, self.predictor.n_concurrent)
        try:
            with (
                self.dead_workers_reported(),
                contextlib.closing(ahead),
                contextlib.closing(predicted),
            ):
                for batch in predicted:
                    raise_if_interrupted()  # where a signal came, its exception may have been lost
                    for read, maps in zip(batch.tiles, batch.maps, strict=True):
                        while not slots.free:
                            yield from _finished(pending, slots)
                        slot = slots.free.pop()
                        slots.maps[slot], slots.pixels[slot] = maps, read.pixels
                        task = RegionTask(read.tile, plan.lattice, reader.info.mpp, settings)
                        seconds = PhaseSeconds(read.seconds, batch.seconds / len(batch.tiles))
                        future = pool.submit(slots, slot, task)
                        pending[future] = _Pending(read.tile, slot, seconds)
                    yield from _finished(pending, slots, must_wait=False)
                while pending:
                    raise_if_interrupted()
                    yield from _finished(pending, slots)
        except GeneratorExit:  # nobody wants the rest: what is begun comes to its end
            _let_finish(pending)
            raise
        finally:
            if pending:  # workers may be busy with slots that go away
                self.close()
            slots.close()


def _fitting(device: str) -> tuple[int, int]:
    """Readers and workers beside a device, on the available cores.

    Prediction keeps a CPU busy by itself, and workers on a quarter of its cores keep up with it.
    Beside a GPU all cores are free.
    """
    cores = available_cores()
    if device == "cpu":
        return _N_READERS, max(1, cores // 4)
    n_readers = max(_N_READERS, int(cores * _READERS_SHARE))
    return n_readers, max(1, cores - n_readers - 1)


def _predicted(
    batches: Iterator[list[_ReadTile]], model: AdaptedModel[PredictedMaps], n_concurrent: int
) -> Generator[_PredictedBatch]:
    """Batches with their maps, in order; one more than the device takes at a time waits."""

    def predict(batch: list[_ReadTile]) -> _PredictedBatch:
        started = time.perf_counter()
        maps = model.predict([read.pixels for read in batch])
        return _PredictedBatch(batch, maps, time.perf_counter() - started)

    with ThreadPoolExecutor(n_concurrent, thread_name_prefix="predict") as threads:
        begun: deque[Future[_PredictedBatch]] = deque()
        try:
            for batch in batches:
                begun.append(threads.submit(predict, batch))
                if len(begun) > n_concurrent + 1:
                    yield begun.popleft().result()
            while begun:
                yield begun.popleft().result()
        finally:
            for future in begun:
                future.cancel()


def _finished(
    pending: dict[Future[RegionNuclei], _Pending], slots: RegionSlots, *, must_wait: bool = True
) -> Iterator[tuple[Tile, RegionNuclei]]:
    """Regions that are done, their slots free again; waits for at least one if asked to."""
    done, _ = wait(pending, STALLED_S if must_wait else 0, FIRST_COMPLETED)
    if must_wait and not done:
        raise StalledWorkersError
    for future in done:
        region = future.result()
        was = pending.pop(future)
        slots.free.append(was.slot)
        yield was.tile, replace(region, seconds=was.seconds + region.seconds)


def _let_finish(pending: dict[Future[RegionNuclei], _Pending]) -> None:
    """Drop what waits for a worker, and wait a moment for what workers are doing."""
    running = [future for future in pending if not future.cancel()]
    if not is_interrupted() and not wait(running, _LEAVING_S).not_done:
        pending.clear()


def _read_ahead(
    reader: SlideReader, plan: TilePlan, tiles: Iterable[Tile], n_readers: int, n_ahead: int
) -> Generator[_ReadTile]:
    """Tiles with their regions' pixels, read by threads a little ahead, in order."""

    def read(tile: Tile) -> _ReadTile:
        started = time.perf_counter()
        pixels = read_region_at(reader, plan.lattice, tile.region)
        return _ReadTile(tile, pixels, time.perf_counter() - started)

    with ThreadPoolExecutor(n_readers, thread_name_prefix="read") as threads:
        ahead: deque[Future[_ReadTile]] = deque()
        try:
            for tile in tiles:
                ahead.append(threads.submit(read, tile))
                if len(ahead) > n_ahead:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for future in ahead:
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
