"""What was measured, as JSON for machines and as a table for people."""

from __future__ import annotations

import dataclasses
import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from hoverfast_platform.benchmark.engines import EngineTime, engine_table
from hoverfast_platform.benchmark.many_nuclei import ManyNuclei, many_table
from hoverfast_platform.benchmark.post_processing_quality import (
    PostProcessingQuality,
    quality_table,
)
from hoverfast_platform.benchmark.relations import relation_table, relations
from hoverfast_platform.benchmark.spread import Spread
from hoverfast_platform.benchmark.steps import StepTime, step_table
from hoverfast_platform.benchmark.whole_slide import SlideRun
from hoverfast_platform.cores import available_cores
from hoverfast_platform.files import written_atomically
from hoverfast_platform.version import __version__

_PACKAGES = ("torch", "openvino", "numpy", "opencv-python-headless", "openslide-bin")
_FORM = 1
"""Version of the form of ``bench.json``: raised where a reader would misread a new one."""


@dataclass
class Measured:
    """All that a benchmark has measured so far."""

    runs: list[SlideRun] = field(default_factory=list)
    engines: list[EngineTime] = field(default_factory=list)
    steps: list[StepTime] = field(default_factory=list)
    many: ManyNuclei | None = None
    quality: PostProcessingQuality | None = None


def machine() -> dict[str, Any]:
    """What it was measured on; no name of the machine or its owner."""
    return {
        "cpu": processor_name(),
        "cores_used": available_cores(),
        "cores": psutil.cpu_count(logical=False),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "load_before": round(psutil.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "hoverfast_platform": __version__,
        **{package: _version(package) for package in _PACKAGES},
    }


def processor_name() -> str:
    """The name of the processor, as Linux or the platform module knows it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def table(runs: Sequence[SlideRun]) -> str:
    """Markdown, one line per slide and program; medians of the rounds with their spread."""
    if not runs:
        return ""
    lines = [
        "| slide | program | s | CPU s | s/mm2 | nuclei | nuclei/s | peak MiB | disk MiB "
        "| bytes/nucleus |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for (slide, program), rounds in _grouped(runs).items():
        first = rounds[0]
        seconds = Spread.of([run.cost.seconds for run in rounds])
        cpu = Spread.of([run.cost.cpu_seconds for run in rounds])
        area = first.tissue_area_mm2
        per_mm2 = str(Spread.of([run.cost.seconds / area for run in rounds])) if area else "-"
        peak = Spread.of([run.cost.peak_bytes / 2**20 for run in rounds])
        per_nucleus = f"{first.disk_bytes / first.n_nuclei:.0f}" if first.n_nuclei else "-"
        lines.append(
            f"| {slide} | {program} | {seconds} | {cpu} | {per_mm2} | {first.n_nuclei} "
            f"| {first.n_nuclei / seconds.median:.0f} | {peak} "
            f"| {first.disk_bytes / 2**20:.1f} | {per_nucleus} |"
        )
    return "\n".join(lines)


def phase_table(runs: Sequence[SlideRun]) -> str:
    """Markdown: seconds per phase of each program.

    Ours overlap: added up they are so many times the total as the last column says.
    """
    programs: dict[tuple[str, tuple[str, ...]], list[SlideRun]] = {}
    for run in runs:
        names = tuple(name for name, _ in run.phases)
        programs.setdefault((run.program, names), []).append(run)
    tables = []
    for (program, names), of_program in programs.items():
        if not names:
            continue
        has_total = "total" in names
        head = [program, *names, *(["phases over total"] if has_total else [])]
        lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
        for (slide, _), rounds in _grouped(of_program).items():
            phases = [dict(run.phases) for run in rounds]
            cells = [str(Spread.of([of_run[name] for of_run in phases])) for name in names]
            if has_total:
                overlap = [sum(of_run.values()) / of_run["total"] - 1 for of_run in phases]
                cells.append(str(Spread.of(overlap)))
            lines.append(f"| {slide} | {' | '.join(cells)} |")
        tables.append("\n".join(lines))
    return "\n\n".join(tables)


def ratios(runs: Sequence[SlideRun]) -> str:
    """How many times slower each other program was than ours, slide by slide, round by round."""
    by_slide: dict[str, dict[str, list[SlideRun]]] = {}
    for (slide, program), rounds in _grouped(runs).items():
        by_slide.setdefault(slide, {})[program] = rounds
    lines = []
    for slide, programs in by_slide.items():
        ours, *others = programs
        for other in others:
            pairs = zip(programs[ours], programs[other], strict=True)
            costs = [(a.cost, b.cost) for a, b in pairs]
            factor = Spread.of([b.seconds / a.seconds for a, b in costs])
            cpu = Spread.of([b.cpu_seconds / a.cpu_seconds for a, b in costs])
            memory = Spread.of([b.peak_bytes / a.peak_bytes for a, b in costs])
            lines.append(
                f"{slide}: {other} takes {factor} times as long as {ours}, {cpu} times its "
                f"processor time, {memory} times its memory"
            )
    return "\n".join(lines)


def write_report(path: Path, measured: Measured, *, options: dict[str, Any]) -> None:
    """Write every run and round, not only medians, as JSON."""
    content = {
        "schema_version": _FORM,
        "machine": machine(),
        "options": options,
        **dataclasses.asdict(measured),
        "relations": [dataclasses.asdict(relation) for relation in relations(measured.runs)],
        "runs": [
            {**dataclasses.asdict(run), "slide_name": run.slide.name, "phases": dict(run.phases)}
            for run in measured.runs
        ],
    }
    with written_atomically(path) as part:
        part.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def report_text(measured: Measured) -> str:
    """All tables there is something for."""
    tables = [
        table(measured.runs),
        phase_table(measured.runs),
        relation_table(relations(measured.runs)),
        ratios(measured.runs),
        engine_table(measured.engines),
        step_table(measured.steps),
        many_table(measured.many) if measured.many else "",
        quality_table(measured.quality) if measured.quality else "",
    ]
    return "\n\n".join(text for text in tables if text)


def _grouped(runs: Sequence[SlideRun]) -> dict[tuple[str, str], list[SlideRun]]:
    groups: dict[tuple[str, str], list[SlideRun]] = {}
    for run in runs:
        groups.setdefault((run.slide.name, run.program), []).append(run)
    return groups
