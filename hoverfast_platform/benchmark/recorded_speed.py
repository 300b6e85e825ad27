"""How fast a model was, read from the record that ``hoverfast bench`` wrote."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import median

from pydantic import BaseModel

from hoverfast_platform.errors import SettingsError
from hoverfast_platform.files import read_settings_file
from hoverfast_platform.model.registry import DEFAULT_MODEL

_OURS = "this engine"


@dataclass(frozen=True)
class RecordedSpeed:
    """What one record says of one model.

    Attributes:
        model: Its name or file.
        processor: Where it was measured.
        cpu_s_per_mm2: Processor seconds for a square millimetre of tissue, start of the program
            included; the median of the runs on the largest slide.
    """

    model: str
    processor: str
    cpu_s_per_mm2: float


class _Machine(BaseModel):
    cpu: str


class _Options(BaseModel):
    model: str = ""


class _Cost(BaseModel):
    cpu_seconds: float


class _Run(BaseModel):
    program: str
    cost: _Cost
    tissue_area_mm2: float | None


class _Record(BaseModel):
    machine: _Machine
    options: _Options
    runs: list[_Run]


def read_speed(path: Path) -> RecordedSpeed:
    """The speed of the model of a record.

    Args:
        path: ``bench.json``, or the folder it lies in.

    Raises:
        SettingsError: If it is not such a record, or no slide was measured.
    """
    record = read_settings_file(
        path / "bench.json" if path.is_dir() else path,
        _Record,
        what="a record of `hoverfast bench`",
        remedy="Give the bench.json that it wrote, or the folder it lies in.",
    )
    runs = [
        (run.tissue_area_mm2, run.cost.cpu_seconds)
        for run in record.runs
        if run.program.startswith(_OURS) and run.tissue_area_mm2
    ]
    if not runs:
        raise SettingsError(
            f"{path} says nothing of slides.",
            "Measure some: hoverfast bench -m NAME -o FOLDER --tiles TILES --parts slides",
        )
    largest = max(area for area, _ in runs)
    return RecordedSpeed(
        record.options.model or DEFAULT_MODEL,
        record.machine.cpu,
        median(seconds / area for area, seconds in runs if area == largest),
    )
