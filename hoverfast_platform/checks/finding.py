"""What a check says of a slide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hoverfast_platform.checks.policy import Severity


@dataclass(frozen=True)
class CheckFinding:
    """What a check says.

    Attributes:
        passed: True also where it cannot be told; ``text`` says so.
        severity: How much a failure matters.
        text: For people.
        numbers: What it was judged by.
    """

    passed: bool
    severity: Severity
    text: str
    numbers: Mapping[str, float] = field(default_factory=dict)


def passed(
    severity: Severity, text: str, numbers: Mapping[str, float] | None = None
) -> CheckFinding:
    """Nothing is odd, or it cannot be told."""
    return CheckFinding(
        True, severity, "Switched off." if severity == "off" else text, numbers or {}
    )


def failed(severity: Severity, text: str, numbers: Mapping[str, float]) -> CheckFinding:
    """Something is odd; of a check that is switched off it is still said."""
    if severity == "off":
        return CheckFinding(True, severity, f"Switched off. {text}", numbers)
    return CheckFinding(False, severity, text, numbers)
