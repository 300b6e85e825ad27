"""Parts of a GPU check: whole slides end to end, and how well the host feeds the device."""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from hoverfast_platform.benchmark.device_watch import DeviceWatch
from hoverfast_platform.benchmark.gpu_context import CheckContext
from hoverfast_platform.benchmark.gpu_record import Figure
from hoverfast_platform.benchmark.instant_predictor import InstantPredictor
from hoverfast_platform.config import Compute, SegmentationSettings, Tiling
from hoverfast_platform.cores import available_cores
from hoverfast_platform.inference.backends.predictor import Predictor
from hoverfast_platform.inference.engine import SegmentationEngine
from hoverfast_platform.inference.segment_slide import SegmentedSlide, segment_slide
from hoverfast_platform.progress import Progress

_START_S = 60.0
_PHASES = ("read", "predict", "decode", "contour", "measure", "write")


@dataclass(frozen=True)
class _Way:
    """How a slide is run; 0 takes what the engine takes by itself."""

    name: str
    n_readers: int = 0
    n_workers: int = 0
    batch_size: int = 0
    tile_px: int = 1024


def check_throughput(context: CheckContext) -> Iterator[Figure]:
    """Slides of growing area with everything as it is by default."""
    _run(context, _Way("warm-up"), context.areas_mm2[0])
    taken: list[tuple[float, float]] = [(0.0, 0.0)]  # areas and seconds, starting costs in them
    for area in context.areas_mm2:
        (area_before, before_s), (last_area, last_s) = taken[-2:][0], taken[-1]
        more_s = (last_s - before_s) / max(last_area - area_before, 1.0) * (area - last_area)
        if last_s + more_s * 1.2 + 2 > context.left_s:
            yield Figure("throughput", f"{area:g} mm2", "left out", "", "no time for it")
            return
        started = time.perf_counter()
        yield from _figures("throughput", context, _Way("by default"), area, in_detail=True)
        taken.append((area, time.perf_counter() - started))


def check_ways(context: CheckContext) -> Iterator[Figure]:
    """The same slide with other numbers of readers and workers, batches and tiles."""
    area = context.middle_area_mm2
    cores = available_cores()
    ways = [
        _Way("by default"),
        _Way("2 readers", n_readers=2),
        _Way(f"{cores // 2} readers", n_readers=max(1, cores // 2)),
        _Way("batches of 4", batch_size=4),
        _Way("batches of 16", batch_size=16),
        _Way("tiles of 2048 px", tile_px=2048),
        _Way("4 workers", n_workers=4),
        _Way(f"{cores} workers", n_workers=cores),
        _Way("batches of 1", batch_size=1),
        _Way("by default, again"),
    ]
    longest = 0.0
    _run(context, _Way("warm-up"), context.areas_mm2[0])
    for way in ways:
        if longest * 1.3 > context.left_s:
            return
        started = time.perf_counter()
        yield from _figures("ways", context, way, area, in_detail=False)
        longest = max(longest, time.perf_counter() - started)


def check_host(context: CheckContext) -> Iterator[Figure]:
    """What the host does by itself, with a predictor that costs nothing."""
    part = "host alone"
    area = context.middle_area_mm2
    n_batch = 8 if context.is_cuda else 2
    cores = available_cores()
    for n_readers, n_workers in ((0, 0), (2, 2), (4, 8), (cores // 2, cores // 2), (cores, cores)):
        way = _Way(f"{n_readers} readers, {n_workers} workers", n_readers, n_workers)
        engine = _engine(context, way, InstantPredictor(n_batch, context.device))
        with engine:
            _wait_for_workers(engine)
            yield from _measured(
                part,
                context,
                engine,
                area,
                f"{engine.n_readers} readers, {engine.n_workers} workers",
            )
        if context.left_s < 8:
            return


def _engine(context: CheckContext, way: _Way, predictor: Predictor) -> SegmentationEngine:
    usual = SegmentationEngine.fitting(context.model(), predictor, way.n_workers)
    if way.n_readers:
        usual.n_readers = way.n_readers
    return usual


def _wait_for_workers(engine: SegmentationEngine) -> None:
    """Starting them is paid once a run, not once a slide."""
    pool = engine.worker_pool()
    until = time.monotonic() + _START_S
    while len(pool.answering()) < engine.n_workers and time.monotonic() < until:
        pass


def _run(context: CheckContext, way: _Way, area_mm2: float) -> tuple[SegmentedSlide, _Times]:
    compute = Compute(batch_size=way.batch_size)
    with _engine(context, way, context.predictor(compute)) as engine:
        _wait_for_workers(engine)
        return _segment(context, engine, area_mm2, way.tile_px)


@dataclass
class _Times:
    """The times of one slide, counted from its start.

    Attributes:
        first_s: The first tile was done.
        last_s: The last one.
        end_s: The result was published.
    """

    first_s: float = 0.0
    last_s: float = 0.0
    end_s: float = 0.0


def _segment(
    context: CheckContext, engine: SegmentationEngine, area_mm2: float, tile_px: int = 1024
) -> tuple[SegmentedSlide, _Times]:
    out_dir = context.scratch / "out"
    shutil.rmtree(out_dir, ignore_errors=True)
    path = context.slide(area_mm2)
    times, started = _Times(), time.perf_counter()

    def on_progress(progress: Progress) -> None:
        times.last_s = time.perf_counter() - started
        if progress.n_done and not times.first_s:
            times.first_s = times.last_s

    done = segment_slide(
        path,
        out_dir=out_dir,
        engine=engine,
        settings=SegmentationSettings(tiling=Tiling(tile_size_px=tile_px)),
        on_progress=on_progress,
    )
    times.end_s = time.perf_counter() - started
    return done, times


def _figures(
    part: str, context: CheckContext, way: _Way, area_mm2: float, *, in_detail: bool
) -> Iterator[Figure]:
    compute = Compute(batch_size=way.batch_size)
    with _engine(context, way, context.predictor(compute)) as engine:
        _wait_for_workers(engine)
        yield from _measured(
            part, context, engine, area_mm2, f"{area_mm2:g} mm2, {way.name}", in_detail=in_detail,
            tile_px=way.tile_px,
        )  # fmt: skip


def _measured(  # noqa: PLR0913 - one run and how it is told
    part: str,
    context: CheckContext,
    engine: SegmentationEngine,
    area_mm2: float,
    name: str,
    *,
    in_detail: bool = True,
    tile_px: int = 1024,
) -> Iterator[Figure]:
    """One slide, watched."""
    context.slide(area_mm2)
    if context.is_cuda:
        torch.cuda.reset_peak_memory_stats(context.device)
    with DeviceWatch(context.device) as watch:
        done, times = _segment(context, engine, area_mm2, tile_px)
    seen, summary = watch.seen, done.summary
    tissue = summary.tissue_area_mm2
    yield Figure(
        part, f"{name}: end to end", times.end_s / tissue, "s/mm2",
        f"{times.end_s:.2f} s for {tissue:.2f} mm2 of tissue, {summary.n_nuclei} nuclei, "
        f"{engine.n_readers} readers, {engine.n_workers} workers",
    )  # fmt: skip
    tiles_s = times.last_s - times.first_s
    busy = seen.mean_busy(times.first_s, times.last_s)
    yield Figure(
        part, f"{name}: from first to last tile", tiles_s / tissue, "s/mm2",
        f"GPU busy {busy:.0f} %, before {times.first_s:.2f} s, "
        f"after {times.end_s - times.last_s:.2f} s",
    )  # fmt: skip
    if not in_detail:
        return
    phases = " ".join(f"{phase} {summary.seconds[phase] / tissue:.3f}" for phase in _PHASES)
    yield Figure(part, f"{name}: phases", phases, "s/mm2", "summed over threads")
    cores = seen.cores or [0.0]
    yield Figure(
        part, f"{name}: host cores busy, mean", statistics.mean(cores), "", f"most {max(cores):.1f}"
    )
    yield Figure(
        part, f"{name}: peak host memory", seen.host_bytes / 2**30, "GiB", "of all processes"
    )
    if context.is_cuda:
        peak = torch.cuda.max_memory_reserved(context.device)
        yield Figure(part, f"{name}: peak device memory", peak / 2**30, "GiB")
        over_time = " ".join(
            f"{busy:.0f}" for busy in seen.busy_percent[:: max(1, len(seen.busy_percent) // 40)]
        )
        yield Figure(part, f"{name}: GPU busy over time", over_time, "%")
        for way, rates in (
            ("to", seen.to_device_bytes_per_s),
            ("from", seen.from_device_bytes_per_s),
        ):
            if rates:
                yield Figure(
                    part, f"{name}: PCIe {way} the device", statistics.mean(rates) / 1e9, "GB/s",
                    f"most {max(rates) / 1e9:.2f}",
                )  # fmt: skip
