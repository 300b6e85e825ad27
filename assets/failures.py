"""How a failure is told to Dagster: by its kind, and on the page of the partition that failed.

A step of learning fails as :func:`failures_by_kind` says. Slides fail each for itself, in
``hoverfast_platform.assets.batch``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from hoverfast_platform.errors import CatalogueError, HoverFastError
from hoverfast_platform.resources.artefact_folder import ArtefactFolder

_MAX_RETRIES = 2
_PAUSE_S = 60.0
"""A device that another program filled, or a database that restarts, needs about that."""


@contextmanager
def failures_by_kind(
    context: dg.AssetExecutionContext, store: ArtefactFolder, *, pause_s: float = _PAUSE_S
) -> Iterator[None]:
    """Have the step tried again if that may help; else record why it failed, and fail it.

    Args:
        context: Context of a step of learning, whose partition is a cohort.
        store: Its catalogue gets the failure.
        pause_s: Before the next attempt.
    """
    try:
        yield
    except HoverFastError as error:
        if error.is_transient and context.retry_number < _MAX_RETRIES:
            raise dg.RetryRequested(_MAX_RETRIES, pause_s) from error
        _record(context, store, error)
        raise dg.Failure(
            error.message,
            metadata={"kind": error.kind, "remedy": error.remedy},
            allow_retries=False,
        ) from error
    except Exception as error:
        _record(context, store, error)
        raise


def show_failure(context: dg.AssetExecutionContext, partition: str, error: Exception) -> None:
    """Show on a partition's own page why it failed, so that nobody has to search the run's log.

    It is an observation, and not a materialization: the partition stays missing, or what it was.
    """
    from hoverfast_platform.use_cases.record import explain

    why = explain(error)
    shown = {"why_it_failed": why.message, "what_to_do": why.remedy, "kind": why.kind}
    context.log_event(
        dg.AssetObservation(
            asset_key=context.asset_key,
            partition=partition,
            description=f"It failed: {why.message}",
            metadata={name: text for name, text in shown.items() if text},
        )
    )


def _record(context: dg.AssetExecutionContext, store: ArtefactFolder, error: Exception) -> None:
    from hoverfast_platform.use_cases.record import failure_record

    name = context.partition_key
    show_failure(context, name, error)
    failure = failure_record(
        store.learning().plan(name),
        error,
        context.run.run_id,
        cohort=name,
        step=context.asset_key.to_user_string(),
    )
    try:
        with store.open_catalogue() as catalogue:
            catalogue.results.record_failure(failure)
    except CatalogueError:  # perhaps the very reason it failed
        context.log.exception("The failure could not be recorded")
