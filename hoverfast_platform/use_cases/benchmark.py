"""Measuring a machine: compose slides, run programs in turn, report."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from hoverfast_platform.arrays import RgbImage
from hoverfast_platform.benchmark.benchmark_report import Measured, write_report
from hoverfast_platform.benchmark.composed_slide import ComposedSlide, compose_slide, read_tiles
from hoverfast_platform.benchmark.engines import time_engines
from hoverfast_platform.benchmark.many_nuclei import measure_many
from hoverfast_platform.benchmark.post_processing_quality import compare_quality
from hoverfast_platform.benchmark.published_hoverfast import (
    PublishedHoverFast,
    check_hoverfast,
    save_published_format,
)
from hoverfast_platform.benchmark.published_hovernet import (
    PublishedHoverNet,
    check_hovernet,
    save_without_nuclei,
)
from hoverfast_platform.benchmark.starts import time_starts
from hoverfast_platform.benchmark.steps import REGION_PX, time_steps
from hoverfast_platform.benchmark.whole_slide import EngineOptions, SlideRun, run_engine
from hoverfast_platform.cores import available_cores
from hoverfast_platform.errors import SettingsError
from hoverfast_platform.evaluation.labelled_set import LabelledSet, open_labelled_set
from hoverfast_platform.geometry import Box
from hoverfast_platform.model.checkpoint import LoadedModel, load_model
from hoverfast_platform.model.registry import DEFAULT_MODEL
from hoverfast_platform.progress import OnProgress, Progress, ignore_progress
from hoverfast_platform.slide import open_slide

_MASK_SCALE = 16
_PARTS = {"slides", "engines", "steps", "start"}
_CHECKS = {"hoverfast": check_hoverfast, "hovernet": check_hovernet}


@dataclass(frozen=True)
class BenchmarkRequest:
    """A benchmark; the command's help says what each part means."""

    outdir: Path
    tiles: Path | None
    side_px: int
    areas: str
    tissue: str
    n_rounds: int
    model: str
    precision: str
    device: str
    against: dict[str, Path]
    against_precision: str
    hovernet_weights: Path | None
    parts: str
    n_nuclei: int
    labelled: Path | None
    groups: str


def run_benchmark(
    request: BenchmarkRequest, *, on_progress: OnProgress = ignore_progress
) -> Measured:
    """Measure as asked and write ``bench.json``; what is wrong with the request comes first.

    Raises:
        SettingsError: If the request cannot be met.
    """
    parts = set(request.parts.split(","))
    if not parts <= _PARTS:
        raise SettingsError(
            f"--parts {request.parts} names what is not there.", f"Use {', '.join(sorted(_PARTS))}."
        )
    slides = _slides(request) if "slides" in parts else []
    commits = {tool: _CHECKS[tool](path) for tool, path in request.against.items()}
    model = load_model(request.model or DEFAULT_MODEL)
    labelled = _labelled(request, model)
    tiles = read_tiles(request.tiles)
    request.outdir.mkdir(parents=True, exist_ok=True)
    measured = Measured()
    with tempfile.TemporaryDirectory(dir=request.outdir, prefix="slides-") as folder:
        measured.runs += _slide_runs(slides, tiles, model, request, Path(folder), on_progress)
        _measure_parts(measured, parts, tiles, model, request, Path(folder))
    if labelled is not None:
        measured.quality = compare_quality(model, labelled, request.against.get("hoverfast"))
    options = {name: str(value) for name, value in asdict(request).items() if value is not None}
    options |= {f"commit of {tool}": commit for tool, commit in commits.items()}
    write_report(request.outdir / "bench.json", measured, options=options)
    return measured


def _measure_parts(
    measured: Measured,
    parts: set[str],
    tiles: Sequence[RgbImage],
    model: LoadedModel,
    request: BenchmarkRequest,
    folder: Path,
) -> None:
    """What is measured on one region in this process, and on tiles in fresh ones."""
    path = folder / "region.tiff"
    compose_slide(path, ComposedSlide(REGION_PX, 1.0), tiles)
    if "engines" in parts:
        with open_slide(path) as reader:
            rgb = reader.read_level(0, Box.at_origin(width=REGION_PX, height=REGION_PX))
        threads = sorted({1, available_cores()})
        measured.engines = time_engines(model, rgb, request.n_rounds, threads=threads)
    if "steps" in parts or request.n_nuclei:
        steps, nuclei = time_steps(
            path, model.network, request.n_rounds, published=request.against.get("hoverfast")
        )
        measured.steps += steps
        if request.n_nuclei:
            measured.many = measure_many(nuclei, request.n_nuclei, folder)
    if "start" in parts:
        measured.steps += time_starts(tiles, request.model, request.n_rounds, folder)


def _labelled(request: BenchmarkRequest, model: LoadedModel) -> LabelledSet | None:
    if request.labelled is None:
        return None
    groups = [name for name in request.groups.split(",") if name]
    mpp = model.card.mpp if request.labelled.is_dir() else None
    return open_labelled_set(request.labelled, mpp=mpp, groups=groups)


def _slides(request: BenchmarkRequest) -> list[ComposedSlide]:
    """The slides to compose; raises SettingsError where a text should be a number and is not."""
    try:
        areas = [int(text) for text in request.areas.split(",")]
        percents = [float(text) for text in request.tissue.split(",")]
    except ValueError as error:
        raise SettingsError(
            f"--areas {request.areas} and --tissue {request.tissue} must be numbers and commas.",
        ) from error
    if any(round(area**0.5) ** 2 != area for area in areas):
        raise SettingsError(f"Areas must be square numbers (slides are square), got {areas}.")
    if not all(0 <= percent <= 100 for percent in percents):
        raise SettingsError(f"Tissue is 0 to 100 percent, got {percents}.")
    return [
        ComposedSlide(request.side_px * round(area**0.5), percent / 100)
        for area in areas
        for percent in percents
    ]


def _slide_runs(
    slides: Sequence[ComposedSlide],
    tiles: Sequence[RgbImage],
    model: LoadedModel,
    request: BenchmarkRequest,
    folder: Path,
    on_progress: OnProgress,
) -> list[SlideRun]:
    """Run every program on every slide, in turn."""
    tools = _published_tools(model, request, folder)
    runs: list[SlideRun] = []
    n_rounds, n_done = len(slides) * request.n_rounds, 0
    for slide in slides:
        path = folder / f"{slide.name}.tiff"
        compose_slide(path, slide, tiles)
        # The published programs fail on a slide without tissue, and have no mask of ours.
        others = tools if slide.tissue_fraction else []
        mask_dir = _write_mask(slide, folder / "masks") if others else None
        options = EngineOptions(request.model, request.precision, request.device, mask_dir)
        for _ in range(request.n_rounds):
            runs.append(run_engine(slide, path, options, folder))
            if mask_dir is not None:
                runs += [tool.run(slide, path, mask_dir, folder) for tool in others]
            n_done += 1
            on_progress(Progress("measuring", n_done, n_rounds, "rounds"))
        path.unlink()
    return runs


def _published_tools(
    model: LoadedModel, request: BenchmarkRequest, folder: Path
) -> list[PublishedHoverFast | PublishedHoverNet]:
    tools: list[PublishedHoverFast | PublishedHoverNet] = []
    for tool, checkout in request.against.items():
        weights = folder / f"{tool}.pth"
        if tool == "hoverfast":
            save_published_format(weights, model)
            tools.append(PublishedHoverFast(checkout.resolve(), weights, request.against_precision))
        else:
            save_without_nuclei(weights)
            tools.append(PublishedHoverNet(checkout.resolve(), request.hovernet_weights or weights))
    return tools


def _write_mask(slide: ComposedSlide, mask_dir: Path) -> Path:
    """Write where the tissue of a slide is, as a picture that every program takes."""
    mask_dir.mkdir(exist_ok=True)
    side = slide.side_px // _MASK_SCALE
    mask = np.zeros((side, side), np.uint8)
    mask[: round(slide.tissue_fraction * side)] = 255
    Image.fromarray(mask).save(mask_dir / f"{slide.name}.png")
    return mask_dir
