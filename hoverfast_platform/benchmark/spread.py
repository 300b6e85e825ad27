"""Several rounds as one figure that does not hide how far they lie apart."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """Median of the rounds, with the least and the largest."""

    median: float
    least: float
    largest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values))

    def __str__(self) -> str:
        if self.least == self.largest:
            return f"{self.median:.3g}"
        return f"{self.median:.3g} ({self.least:.3g}-{self.largest:.3g})"
