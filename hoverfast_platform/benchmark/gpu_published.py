"""Parts of a GPU check: the published programs on the same slide, and the CPU path beside them."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from hoverfast_platform.benchmark.composed_slide import ComposedSlide
from hoverfast_platform.benchmark.gpu_context import CheckContext
from hoverfast_platform.benchmark.gpu_record import Figure
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
from hoverfast_platform.benchmark.whole_slide import EngineOptions, SlideRun, run_engine
from hoverfast_platform.cores import available_cores, has_bfloat16
from hoverfast_platform.model.quantised import find_int8

_MASK_SCALE = 16


def check_published_hoverfast(context: CheckContext) -> Iterator[Figure]:
    """Whole processes, with the same weights and mask."""
    yield from _in_turn(context, "hoverfast")


def check_published_hovernet(context: CheckContext) -> Iterator[Figure]:
    """Whole processes, with the same mask; HoVer-Net's weights find nothing."""
    yield from _in_turn(context, "hovernet")


def _in_turn(context: CheckContext, tool: str) -> Iterator[Figure]:
    part = f"published {tool}"
    checkout = context.hoverfast if tool == "hoverfast" else context.hovernet
    if checkout is None:
        yield Figure(part, "run", "no", "", f"--{tool} CHECKOUT was not given")
        return
    commit = (check_hoverfast if tool == "hoverfast" else check_hovernet)(checkout)
    yield Figure(part, "commit", commit)
    area_mm2 = context.areas_mm2[0 if tool == "hovernet" else min(1, len(context.areas_mm2) - 1)]
    path = context.slide(area_mm2)
    masks = context.scratch / "masks"
    masks.mkdir(exist_ok=True)
    side_px = _write_mask(path.stem, area_mm2, masks)
    slide, weights = ComposedSlide(side_px, 1.0), context.scratch / f"{tool}.pth"
    area_mm2 = (side_px * 0.25e-3) ** 2
    options = EngineOptions(
        context.model_name, device=context.device, precision="auto", mask_dir=masks
    )
    yield from _figures(part, "ours", run_engine(slide, path, options, context.scratch), area_mm2)
    if tool == "hoverfast":
        save_published_format(weights, context.model())
        precision = "fp16" if context.is_cuda else "fp32"
        theirs: PublishedHoverFast | PublishedHoverNet = PublishedHoverFast(
            checkout.resolve(), weights, precision
        )
    else:
        save_without_nuclei(weights)
        theirs = PublishedHoverNet(checkout.resolve(), weights)
    yield from _figures(part, "theirs", theirs.run(slide, path, masks, context.scratch), area_mm2)


def _write_mask(stem: str, area_mm2: float, folder: Path) -> int:
    """All tissue, as a picture that every program takes; returns the slide's side."""
    from hoverfast_platform.benchmark.quick_slide import QuickSlide

    side_px = QuickSlide(area_mm2).side_px
    mask = np.full((side_px // _MASK_SCALE, side_px // _MASK_SCALE), 255, np.uint8)
    Image.fromarray(mask).save(folder / f"{stem}.png")
    return side_px


def _figures(part: str, name: str, run: SlideRun, area_mm2: float) -> Iterator[Figure]:
    cost = run.cost
    yield Figure(
        part, f"{name}: whole process", cost.seconds, "s",
        f"{cost.seconds / area_mm2:.2f} s/mm2 with its start, {run.program} on {run.arithmetic}, "
        f"{run.n_nuclei} nuclei, {cost.cpu_seconds:.0f} CPU s, "
        f"{cost.peak_bytes / 2**30:.2f} GiB {dict(run.phases)}",
    )  # fmt: skip
    alone = dict(run.phases).get("total")  # as the program itself tells it
    if alone is not None:
        yield Figure(part, f"{name}: the slide without the start", alone / area_mm2, "s/mm2")


def check_cpu_path(context: CheckContext) -> Iterator[Figure]:
    """OpenVINO on growing numbers of cores, the network alone."""
    part = "CPU path"
    if importlib.util.find_spec("openvino") is None:
        yield Figure(part, "run", "no", "", "openvino is not installed")
        return
    import openvino as ov

    from hoverfast_platform.inference.backends.openvino_predictor import (
        OpenVinoPredictor,
        openvino_graph,
    )

    side = 1216 if context.is_cuda else 256
    regions = context.regions(1, side)
    area_mm2 = (1024 * 0.25e-3) ** 2 * (side / 1216) ** 2
    model = context.model()
    int8 = find_int8(model.path, model.digest)
    for precision in ("int8", "bf16", "fp32"):
        if (precision == "bf16" and not has_bfloat16()) or (precision == "int8" and int8 is None):
            continue
        if precision == "int8" and int8 is not None:
            graph = ov.Core().read_model(int8.graph_path)
        else:
            graph = openvino_graph(model)
        for n_threads in (1, 2, 4, 8, 16):
            if n_threads > available_cores() or context.left_s < 2:
                continue
            predictor = OpenVinoPredictor(graph, model, precision, n_threads=n_threads)
            seconds = context.seconds_of(lambda predictor=predictor: predictor.predict(regions), 1)
            yield Figure(part, f"{precision}, {n_threads} cores", seconds / area_mm2, "s/mm2")
