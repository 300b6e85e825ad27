"""Single steps on one core: read a region, decode its maps, outline, measure, write."""

from __future__ import annotations

import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2

from hoverfast_platform.benchmark.published_hoverfast import published_post_processing
from hoverfast_platform.config import SegmentationSettings
from hoverfast_platform.freed_memory import keep_freed_memory
from hoverfast_platform.geometry import Box, ModelLattice
from hoverfast_platform.hv.decode import decodable_maps, split_foreground
from hoverfast_platform.inference.backends.plain_network import PlainNetwork
from hoverfast_platform.inference.workers import RegionTask, post_process
from hoverfast_platform.model.network import HoverFast
from hoverfast_platform.nuclei.contours import trace_rings
from hoverfast_platform.nuclei.measurements import measure_pixels, measure_polygons
from hoverfast_platform.nuclei.nucleus import Nuclei, measurement_columns
from hoverfast_platform.slide import open_slide
from hoverfast_platform.slide.resample import read_region_at
from hoverfast_platform.storage.geojson import write_geojson
from hoverfast_platform.storage.nuclei_table import write_nuclei_table
from hoverfast_platform.tiling import Tile

REGION_PX = 1024
_N_BLOCKS = 20
"""Blocks of one region's nuclei that are written, so that files are not all header."""


@dataclass(frozen=True)
class StepTime:
    """One step, repeated in turn with the others.

    Attributes:
        name: Name of the step.
        milliseconds: Processor time of each round.
        n_nuclei: It worked on, or found.
    """

    name: str
    milliseconds: tuple[float, ...]
    n_nuclei: int

    @property
    def median(self) -> float:
        return statistics.median(self.milliseconds)


def time_steps(
    slide_path: Path, network: HoverFast, n_rounds: int, *, published: Path | None = None
) -> tuple[list[StepTime], Nuclei]:
    """Processor time of every step on the upper left region of a slide full of tissue.

    Args:
        slide_path: At least 1024 px wide and high, at the model's mpp.
        network: Makes the maps, once; it is not timed here.
        n_rounds: The steps follow each other in every round.
        published: Checkout of the published HoverFast, whose post-processing then gets the
            same maps.

    Returns:
        The steps, and the region's nuclei.
    """
    cv2.setNumThreads(1)
    keep_freed_memory()  # as workers do
    settings = SegmentationSettings()
    region = Box.at_origin(width=REGION_PX, height=REGION_PX)
    with open_slide(slide_path) as reader, tempfile.TemporaryDirectory() as folder:
        info = reader.info
        lattice = ModelLattice.of(
            width=info.width, height=info.height, slide_mpp=info.mpp, model_mpp=info.mpp.mean
        )
        rgb = read_region_at(reader, lattice, region)
        maps = PlainNetwork(network).predict(rgb[None])[0]
        predicted = decodable_maps(maps)
        task = RegionTask(Tile(0, region, region), lattice, info.mpp, settings)
        found, instances = post_process(predicted, rgb, task)
        nuclei, labels = found.nuclei, found.labels
        steps: dict[str, tuple[Callable[[], Any], int]] = {
            "read a region": (lambda: read_region_at(reader, lattice, region), 0),
            "steepness of borders, which predictors compute": (
                lambda: decodable_maps(maps),
                len(nuclei),
            ),
            "decode": (
                lambda: split_foreground(predicted[0], predicted[1], settings.decoding),
                len(nuclei),
            ),
            "outline": (
                lambda: trace_rings(instances, labels, region, lattice, settings.outlines),
                len(nuclei),
            ),
            "measure pixels": (
                lambda: measure_pixels(instances, labels, rgb, settings.staining.stain),
                len(nuclei),
            ),
            "measure polygons": (
                lambda: measure_polygons(nuclei.vertices_xy, nuclei.ring_starts, info.mpp),
                len(nuclei),
            ),
            "post-process: steepness, decode, outline, measure": (
                lambda: post_process(decodable_maps(maps), rgb, task),
                len(nuclei),
            ),
            "write GeoJSON": (
                lambda: _write_geojson(Path(folder), nuclei),
                _N_BLOCKS * len(nuclei),
            ),
            "write Parquet": (
                lambda: _write_parquet(Path(folder), nuclei),
                _N_BLOCKS * len(nuclei),
            ),
        }
        if published is not None:
            theirs = published_post_processing(published, info.mpp.mean, REGION_PX)
            steps["published post_processing"] = (lambda: theirs(maps), theirs(maps))
        taken: dict[str, list[float]] = {name: [] for name in steps}
        for _ in range(n_rounds):
            for name, (step, _n) in steps.items():
                started = time.process_time()  # what others do on the machine is not counted
                step()
                taken[name].append((time.process_time() - started) * 1e3)
    return [StepTime(name, tuple(taken[name]), n) for name, (_, n) in steps.items()], nuclei


def step_table(steps: Sequence[StepTime]) -> str:
    """Markdown, and how the published post-processing compares, if it was run."""
    if not steps:
        return ""
    lines = [
        f"| step on one core, {REGION_PX} px | CPU ms, median (least-most) | nuclei | us/nucleus |",
        "|---|---|---|---|",
    ]
    for step in steps:
        each = f"{1e3 * step.median / step.n_nuclei:.0f}" if step.n_nuclei else "-"
        spread = f"{min(step.milliseconds):.1f}-{max(step.milliseconds):.1f}"
        lines.append(f"| {step.name} | {step.median:.1f} ({spread}) | {step.n_nuclei} | {each} |")
    by_name = {step.name: step for step in steps}
    if "published post_processing" in by_name:
        ours = by_name["post-process: steepness, decode, outline, measure"].milliseconds
        theirs = by_name["published post_processing"].milliseconds
        factors = sorted(b / a for a, b in zip(ours, theirs, strict=True))
        lines.append(
            f"\nThe published post-processing takes {statistics.median(factors):.1f} "
            f"({factors[0]:.1f}-{factors[-1]:.1f}) times as long as ours on the same maps."
        )
    return "\n".join(lines)


def _write_geojson(folder: Path, nuclei: Nuclei) -> None:
    write_geojson(
        folder / "n.json.gz", [nuclei] * _N_BLOCKS, provenance={}, namespace=uuid.UUID(int=0)
    )


def _write_parquet(folder: Path, nuclei: Nuclei) -> None:
    write_nuclei_table(
        folder / "n.parquet",
        [nuclei] * _N_BLOCKS,
        measurement_columns(SegmentationSettings().staining.stain),
        metadata={},
        namespace=uuid.UUID(int=0),
    )
