"""What a check of a GPU found, kept line by line, so that a killed run tells something."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from hoverfast_platform.files import written_atomically

_FORM = 1
"""Version of the form of ``gpu-check.json``: raised where a reader would misread a new one."""


@dataclass(frozen=True)
class Figure:
    """One thing that was measured.

    Attributes:
        part: The part of the check that found it.
        name: What was measured.
        value: A number, or a text where there is none.
        unit: The unit of the number.
        remark: What else to know.
    """

    part: str
    name: str
    value: float | str
    unit: str = ""
    remark: str = ""


@dataclass(frozen=True)
class PartEnd:
    """How a part ended.

    Attributes:
        part: Its name.
        seconds: It took.
        failure: Why it has no more figures; empty if it ran to its end.
    """

    part: str
    seconds: float
    failure: str = ""


def append_line(path: Path, found: Figure | PartEnd) -> None:
    """Add a figure or an end to the file of lines."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"kind": type(found).__name__, **asdict(found)}) + "\n")


def read_lines(path: Path) -> tuple[list[Figure], list[PartEnd]]:
    """All whole lines of the file."""
    figures: list[Figure] = []
    ends: list[PartEnd] = []
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    for line in text.split("\n")[:-1]:
        said = json.loads(line)
        if said.pop("kind") == Figure.__name__:
            figures.append(Figure(**said))
        else:
            ends.append(PartEnd(**said))
    return figures, ends


def write_record(path: Path, figures: Sequence[Figure], ends: Sequence[PartEnd]) -> None:
    """Everything so far as one JSON file."""
    record = {
        "schema_version": _FORM,
        "parts": [asdict(end) for end in ends],
        "figures": [asdict(figure) for figure in figures],
    }
    with written_atomically(path) as part:
        part.write_text(json.dumps(record, indent=1), encoding="utf-8")


def record_text(figures: Sequence[Figure], ends: Sequence[PartEnd]) -> str:
    """A table for people, part by part."""
    lines: list[str] = []
    for end in ends:
        lines += ["", f"== {end.part}, {end.seconds:.1f} s {end.failure and '| ' + end.failure}"]
        for figure in figures:
            if figure.part == end.part:
                value = figure.value if isinstance(figure.value, str) else f"{figure.value:.4g}"
                remark = f"  ({figure.remark})" if figure.remark else ""
                lines.append(f"{figure.name:56} {value:>12} {figure.unit}{remark}")
    return "\n".join(lines)
