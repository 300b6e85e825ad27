"""What a simulation found, as the tables of docs/scaling.md show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_COSTS = ("clock_s", "cpu_s", "server_cpu_s")
_PER_DAY = (100, 1_000, 10_000)


def tables(figures: Mapping[str, Any]) -> str:
    """Markdown; the lines between the tables are figures of the text."""
    stages, once, size = figures["stages"], figures["once"], figures["bytes_per_slide"]
    steps = {"intake": once["intake"]}
    steps |= {name: stage["per_slide"] for name, stage in stages.items()}
    steps["all"] = {cost: sum(step[cost] for step in steps.values()) for cost in _COSTS}
    per_run = {"intake": "all", "all": ""}
    per_run |= {name: stage["slides_per_run"] for name, stage in stages.items()}
    core_s = steps["all"]["cpu_s"] + steps["all"]["server_cpu_s"]
    parts = [
        f"{figures['slides']:,} slides, {figures['runs']} runs",
        _table(
            ("step", "clock, s per slide", "CPU", "CPU of PostgreSQL", "slides per run"),
            [(name, *_costs(step, 4), per_run[name]) for name, step in steps.items()],
        ),
        f"One core, hours for 10,000 slides: {core_s * 10_000 / 3600:.2f}; "
        f"days for a million: {core_s * 1e6 / 86_400:.1f}",
        _table(
            ("CPU of both, s per slide", "first fifth of the runs", "last fifth", "load"),
            [
                (
                    name,
                    *(
                        f"{stage[part]['cpu_s'] + stage[part]['server_cpu_s']:.3f}"
                        for part in ("per_slide_first_fifth", "per_slide_last_fifth")
                    ),
                    f"{stage['load_average']:.1f}",
                )
                for name, stage in stages.items()
            ],
        ),
        _table(
            ("run of one", "clock, s", "CPU", "CPU of PostgreSQL"),
            [(name, *_costs(stage["run_of_one"], 2)) for name, stage in stages.items()],
        ),
        _table(
            ("tick", "clock, s", "CPU", "CPU of PostgreSQL"),
            [(name, *_costs(cost, 2)) for name, cost in once.items() if "tick" in name],
        ),
        _table(
            ("bytes per slide", ""),
            [(name, f"{value:,.0f}") for name, value in size.items() if name != "files"],
        ),
        _table(
            ("event", "rows per slide", "bytes per slide"),
            [
                (kind, f"{event['rows']:.2f}", f"{event['bytes']:,.0f}")
                for kind, event in figures["events_per_slide"].items()
            ],
        ),
        _table(
            ("slides", "Dagster's database, GB", "catalogue, GB"),
            [
                (label, *(f"{n * size[part] / 1e9:.1f}" for part in ("dagster", "catalogue")))
                for label, n in [
                    *((f"{n:,} a day, a year", n * 365) for n in _PER_DAY),
                    ("1,000,000", 1_000_000),
                ]
            ],
        ),
    ]
    return "\n\n".join(parts)


def _costs(cost: Mapping[str, float], digits: int) -> list[str]:
    return [f"{cost[name]:.{digits}f}" for name in _COSTS]


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
