"""What runs on slides of several areas and tissue fractions say when taken together.

Costs are processor seconds, in which others' work on the machine does not count; what every run
costs before the first tile (imports, compiling, starting workers) cancels where two areas are
subtracted.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hoverfast_platform.benchmark.composed_slide import ComposedSlide
from hoverfast_platform.benchmark.whole_slide import SlideRun

_MM2_PER_PX = (0.25e-3) ** 2


@dataclass(frozen=True)
class Relation:
    """One figure made of several runs.

    Attributes:
        name: What it compares.
        value: The figure; None where it cannot be told from noise.
        aim: What it should be, in words.
        made_of: Figures it was computed from, in words.
    """

    name: str
    value: float | None
    aim: str
    made_of: str


def relations(runs: Sequence[SlideRun]) -> list[Relation]:
    """All that these runs allow; runs of other programs than the engine are left out."""
    rounds: dict[ComposedSlide, list[SlideRun]] = {}
    for run in runs:
        if run.tissue_area_mm2 is not None:
            rounds.setdefault(run.slide, []).append(run)
    if not rounds:
        return []
    sides = sorted({slide.side_px for slide in rounds})
    found = _memory(rounds) + _disk(rounds)
    if len(sides) > 1:
        found += _blank(rounds, sides[0], sides[-1]) + _linear(rounds, sides)
    return found


def relation_table(found: Sequence[Relation]) -> str:
    """Markdown."""
    lines = ["| relation | value | aim | made of |", "|---|---|---|---|"]
    for r in found:
        value = "not above noise" if r.value is None else f"{r.value:.3g}"
        lines.append(f"| {r.name} | {value} | {r.aim} | {r.made_of} |")
    return "\n".join(lines) if found else ""


_Rounds = dict[ComposedSlide, list[SlideRun]]


def _memory(rounds: _Rounds) -> list[Relation]:
    peak = _median(rounds, lambda run: run.cost.peak_bytes / 2**20)
    largest = max(peak, key=peak.__getitem__)
    found = [
        Relation("largest peak memory, MiB", peak[largest], "<= 4096", f"slide {largest.name}")
    ]
    for small, large in _same_tissue(rounds):
        found.append(
            Relation(
                f"peak memory, {large.name} over {small.name}",
                peak[large] / peak[small],
                "<= 1.1",
                f"{peak[large]:.0f} over {peak[small]:.0f} MiB",
            )
        )
    return found


def _disk(rounds: _Rounds) -> list[Relation]:
    """Blocks of finished tiles lie beside the result until it is published."""
    most = _median(rounds, lambda run: run.cost.peak_disk_bytes / 2**20)
    left = _median(rounds, lambda run: run.disk_bytes / 2**20)
    slide = max(most, key=most.__getitem__)
    if not left[slide]:
        return []
    return [
        Relation(
            f"disk at its most over what is left, {slide.name}",
            most[slide] / left[slide],
            "finished blocks besides the result, nothing else",
            f"{most[slide]:.1f} over {left[slide]:.1f} MiB",
        )
    ]


def _blank(rounds: _Rounds, side: int, larger_side: int) -> list[Relation]:
    """Cost per mm2 of a slide without tissue against one full of it."""
    full = _slope(rounds, side, larger_side, 1.0)
    blank = _slope(rounds, side, larger_side, 0.0)
    if full is None or blank is None:
        return []
    return [
        Relation(
            "tissue over blank area, CPU s per mm2",
            full / blank if blank > 0 else None,
            ">= 50",
            f"{full:.3g} over {blank:.3g}, from {side} to {larger_side} px",
        )
    ]


def _linear(rounds: _Rounds, sides: Sequence[int]) -> list[Relation]:
    """Cost of one more mm2 of tissue, small slides against large ones, full against half."""
    found = []
    slopes = {
        (a, b, fraction): _slope(rounds, a, b, fraction)
        for a, b in itertools.pairwise(sides)
        for fraction in (0.5, 1.0)
    }
    known = {key: slope for key, slope in slopes.items() if slope is not None and slope > 0}
    if len(known) > 1:
        least, most = min(known, key=known.__getitem__), max(known, key=known.__getitem__)
        found.append(
            Relation(
                "one more mm2 of tissue, dearest over cheapest, CPU s",
                known[most] / known[least],
                "near 1: linear",
                "; ".join(
                    f"{slope:.3g} from {a} to {b} px at {fraction:.0%}"
                    for (a, b, fraction), slope in known.items()
                ),
            )
        )
    return found


def _slope(rounds: _Rounds, side: int, larger_side: int, fraction: float) -> float | None:
    """CPU seconds of one more mm2, of tissue where there is some; None without both slides."""
    small, large = ComposedSlide(side, fraction), ComposedSlide(larger_side, fraction)
    if small not in rounds or large not in rounds:
        return None
    cpu = _median(rounds, lambda run: run.cost.cpu_seconds)
    area = _median(rounds, lambda run: run.tissue_area_mm2 or 0.0)
    mm2 = area[large] - area[small] or (larger_side**2 - side**2) * _MM2_PER_PX
    return (cpu[large] - cpu[small]) / mm2


def _same_tissue(rounds: _Rounds) -> list[tuple[ComposedSlide, ComposedSlide]]:
    """The smallest and the largest slide of every tissue fraction, where they differ."""
    fractions = sorted({slide.tissue_fraction for slide in rounds})
    pairs = []
    for fraction in fractions:
        of_fraction = [slide for slide in rounds if slide.tissue_fraction == fraction]
        small, large = (f(of_fraction, key=lambda slide: slide.side_px) for f in (min, max))
        if small != large:
            pairs.append((small, large))
    return pairs


def _median(rounds: _Rounds, figure: Callable[[SlideRun], float]) -> dict[ComposedSlide, float]:
    return {slide: statistics.median(map(figure, of)) for slide, of in rounds.items()}
