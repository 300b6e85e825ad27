"""What ``hoverfast bench`` does: compose slides, run programs in turn, report."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np
from PIL import Image
from tqdm import tqdm

from hoverfast_platform.benchmark.composed_slide import ComposedSlide, compose_slide, read_tiles
from hoverfast_platform.benchmark.published_tool import (
    PublishedTool,
    check_checkout,
    run_published,
    save_published_format,
)
from hoverfast_platform.benchmark.report import phase_table, ratios, table, write_report
from hoverfast_platform.benchmark.steps import REGION_PX, step_table, time_steps
from hoverfast_platform.benchmark.whole_slide import EngineOptions, SlideRun, run_engine
from hoverfast_platform.config import Compute
from hoverfast_platform.errors import SettingsError
from hoverfast_platform.inference.predictors import make_predictor
from hoverfast_platform.model.checkpoint import load_model
from hoverfast_platform.model.registry import DEFAULT_MODEL

_MASK_SCALE = 16


@dataclass(frozen=True)
class BenchmarkRequest:
    """What the command line asks for."""

    outdir: Path
    tiles: Path | None
    side_px: int
    areas: str
    tissue: str
    n_rounds: int
    model: str
    precision: str
    device: str
    against: Path | None
    against_precision: str


def run(request: BenchmarkRequest) -> None:
    """Measure as asked and say what came out."""
    slides = _slides(request)
    commit = check_checkout(request.against) if request.against is not None else ""
    tiles = read_tiles(request.tiles)
    runs: list[SlideRun] = []
    request.outdir.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=request.outdir, prefix="slides-") as folder,
        tqdm(total=len(slides) * request.n_rounds, unit="round", desc="bench") as bar,
    ):
        for slide in slides:
            path = Path(folder) / f"{slide.name}.tiff"
            compose_slide(path, slide, tiles)
            for _ in range(request.n_rounds):
                runs += _round(slide, path, request, Path(folder))
                bar.update()
            path.unlink()
        path = Path(folder) / "steps.tiff"
        compose_slide(path, ComposedSlide(REGION_PX, 1.0), tiles)
        model = load_model(request.model or DEFAULT_MODEL)
        predictor = make_predictor(
            model, Compute(device=request.device, precision=request.precision)
        )
        steps = time_steps(path, predictor, request.n_rounds, published=request.against)
    options = {name: str(value) for name, value in asdict(request).items() if value is not None}
    options["published"] = commit
    write_report(request.outdir / "bench.json", runs, steps, options=options)
    for text in (table(runs), phase_table(runs), ratios(runs), step_table(steps)):
        if text:
            click.echo(f"\n{text}")
    click.echo(f"\n{request.outdir / 'bench.json'}")


def _slides(request: BenchmarkRequest) -> list[ComposedSlide]:
    """Raises SettingsError for numbers that are none."""
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


def _round(
    slide: ComposedSlide, path: Path, request: BenchmarkRequest, folder: Path
) -> Iterator[SlideRun]:
    """Every program once; with another program both get the same mask and weights."""
    options = EngineOptions(request.model, request.precision, request.device)
    if request.against is None:
        yield run_engine(slide, path, options, folder)
        return
    if slide.tissue_fraction == 0:  # the published program fails on a slide without tissue
        return
    mask_dir = folder / "masks"
    mask_dir.mkdir(exist_ok=True)
    side = slide.side_px // _MASK_SCALE
    mask = np.zeros((side, side), np.uint8)
    mask[: round(slide.tissue_fraction * side)] = 255
    Image.fromarray(mask).save(mask_dir / f"{path.stem}.png")
    weights = folder / "weights.pth"
    if not weights.exists():
        save_published_format(weights, load_model(request.model or DEFAULT_MODEL))
    options = EngineOptions(request.model, request.precision, request.device, mask_dir)
    yield run_engine(slide, path, options, folder)
    tool = PublishedTool(request.against, weights, request.against_precision)
    yield run_published(slide, path, tool, mask_dir, folder)
