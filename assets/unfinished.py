"""Whether something is under way, so that it is not asked for a second time."""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg

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
