"""What a running step tells whoever watches it. The engine reports; the edge displays.

The command line draws a bar, a Dagster asset writes a log line now and then, a test
collects.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Progress:
    """How far a step is.

    Attributes:
        step: What is being done, for people: ``"segmenting"``.
        n_done: Units finished, resumed ones included.
        n_total: Units in all; 0 when there is nothing to do.
        unit: What is counted: ``"tiles"``.
    """

    step: str
    n_done: int
    n_total: int
    unit: str = "tiles"


OnProgress: TypeAlias = Callable[[Progress], None]


def ignore_progress(_progress: Progress) -> None:
    """Report to nobody."""
