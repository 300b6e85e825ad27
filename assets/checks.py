"""The engine's checks of slides, as Dagster declares and shows them.

What is checked is the table in ``hoverfast_platform.checks``; thresholds and severities are
attributes of the component that makes the asset.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import dagster as dg

from hoverfast_platform.checks.policy import CheckPolicy
from hoverfast_platform.checks.table import SlideCheck

_Facts = TypeVar("_Facts")


def check_specs(
    checks: Sequence[SlideCheck[Any]],
    asset: dg.AssetKey,
    slides: dg.DynamicPartitionsDefinition,
    policy: CheckPolicy,
) -> list[dg.AssetCheckSpec]:
    """Checks with one verdict per slide; the asset gives them with the product.

    A check of severity `error` is blocking: nothing is made by itself of what failed it.
    """
    return [
        dg.AssetCheckSpec(
            check.name,
            asset=asset,
            description=check.question,
            partitions_def=slides,
            blocking=check.severity(policy) == "error",
        )
        for check in checks
    ]


def verdicts(
    checks: Sequence[SlideCheck[_Facts]], facts: _Facts, policy: CheckPolicy
) -> tuple[dg.AssetCheckResult, ...]:
    """What every check says of a slide, as Dagster shows it."""
    return tuple(_verdict(check, facts, policy) for check in checks)


def _verdict(check: SlideCheck[_Facts], facts: _Facts, policy: CheckPolicy) -> dg.AssetCheckResult:
    finding = check.judge(facts, policy)
    is_error = finding.severity == "error"
    return dg.AssetCheckResult(
        check_name=check.name,
        passed=finding.passed,
        severity=dg.AssetCheckSeverity.ERROR if is_error else dg.AssetCheckSeverity.WARN,
        description=finding.text,
        metadata=dict(finding.numbers),
    )
