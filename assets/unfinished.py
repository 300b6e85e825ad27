"""Why a run was asked for, and whether one is under way, so that it is not asked for again."""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg

from hoverfast_platform.assets.names import Names

_UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def has_unfinished_run(instance: dg.DagsterInstance, tags: Mapping[str, str]) -> bool:
    """Whether a run with all these tags is queued, starting, running or being cancelled."""
    unfinished = dg.RunsFilter(statuses=_UNFINISHED, tags=tags)
    return bool(instance.get_run_records(unfinished, limit=1))


def why(reason: str, names: Names) -> dict[str, str]:
    """Tags that say why a run was asked for, and by which pipeline."""
    return {"hoverfast/why": reason} | (
        {"hoverfast/pipeline": names.pipeline} if names.pipeline else {}
    )
