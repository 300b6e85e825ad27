"""What a check says of a slide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hoverfast_platform.checks.policy import Severity


@dataclass(frozen=True)
class CheckFinding:
    """What a check says.

    Attributes:
        passed: Whether the slide passed; true also where it cannot be told, as ``text`` then says.
        severity: How much a failure matters.
        text: One sentence for people.
        numbers: The figures by which it was judged.
    """

    passed: bool
    severity: Severity
    text: str
    numbers: Mapping[str, float] = field(default_factory=dict)


def passed(
    severity: Severity, text: str, numbers: Mapping[str, float] | None = None
) -> CheckFinding:
    """A finding that says that nothing is odd, or that it cannot be told."""
    return CheckFinding(
        True, severity, "Switched off." if severity == "off" else text, numbers or {}
    )


def failed(severity: Severity, text: str, numbers: Mapping[str, float]) -> CheckFinding:
    """A finding that says that something is odd; one of a check that is switched off passes."""
    if severity == "off":
        return CheckFinding(True, severity, f"Switched off. {text}", numbers)
    return CheckFinding(False, severity, text, numbers)
