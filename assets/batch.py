"""Many slides in one run: each is recorded the moment it is done, a bad one fails alone.

A partitioned asset that simply returns records all partitions of its run or none. Here every
finished slide logs its own materialization and checks, and the step fails at the end naming
the bad ones, so that Dagster shows exactly those as failed. What is logged carries the tags
Dagster itself would write (see ``assets/data_versions.py``), or a slide would never turn stale.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import dagster as dg

from hoverfast_platform.assets.data_versions import input_tags, provenance_tags
from hoverfast_platform.assets.failures import show_failure
from hoverfast_platform.assets.progress_log import duration
from hoverfast_platform.errors import HoverFastError
from hoverfast_platform.resources.artefact_folder import ArtefactFolder
from hoverfast_platform.use_cases.outcome import Outcome, Retries, each

SlideEvents: TypeAlias = Iterator[dg.MaterializeResult[Any] | dg.Output[Any]]

N_ATTEMPTS = 3
"""For failures that may pass: a device that ran out of memory, a worker the kernel ended."""

_PAUSE_S = 5.0
"""Before the second attempt; doubled before the third."""


@dataclass(frozen=True)
class SlideProduct:
    """What an asset made of one slide.

    Attributes:
        metadata: Shown in the UI.
        data_version: Digest of the content; equal content does not make others stale.
        made: Its file or folder in the artefact folder, which is published where machines share a
            store; None where nothing is kept.
        checks: Verdicts on it; see ``hoverfast_platform.assets.checks``.
        input_versions: What was really used of an input, by its asset's key, where that may be
            something else than the input's newest version.
    """

    metadata: Mapping[str, Any]
    data_version: str
    made: Path | None
    checks: tuple[dg.AssetCheckResult, ...] = ()
    input_versions: Mapping[str, str] = field(default_factory=dict)


def process_slides(
    context: dg.AssetExecutionContext,
    store: ArtefactFolder,
    make: Callable[[str], SlideProduct],
    *,
    pause_s: float = _PAUSE_S,
) -> SlideEvents:
    """Make the product of every slide of this run; ``yield from`` it.

    A failure that may pass is tried again, after a pause, for that slide alone. Every other
    failure is recorded in the catalogue with its remedy, and the next slide goes on. One
    slide gives an ordinary result, so that later steps of the run go on.

    Raises:
        dagster.Failure: At the end, naming the slides that failed.
    """
    keys, run_id = list(context.partition_keys), context.run.run_id
    step = context.asset_key.to_user_string()
    failed: dict[str, str] = {}
    started = time.monotonic()

    def warn(key: object, attempt: int, pause_s: float, error: HoverFastError) -> None:
        context.log.warning(
            "%s: attempt %d of %d failed, next in %s: %s",
            *(key, attempt, N_ATTEMPTS, duration(pause_s), error),
        )

    def make_and_publish(key: str) -> SlideProduct:
        """Published before it is reported: a crash in between leaves a step to do again."""
        product = make(key)
        if product.made is None:
            return product
        return replace(product, metadata={**product.metadata, **store.publish(product.made)})

    outcomes = each(
        keys,
        make_and_publish,
        record_failure=lambda key, error: store.slide(key).record_failure(error, run_id, step),
        retries=Retries(N_ATTEMPTS, pause_s, warn),
    )
    for i, outcome in enumerate(outcomes, 1):
        key, product = outcome.item, outcome.product
        if product is None:
            failed[key] = f"{outcome.kind}: {outcome.failure_text}"
            _log_failure(context, outcome)
            continue
        if not context.has_partition_key_range:
            yield dg.MaterializeResult(
                metadata=product.metadata,
                data_version=dg.DataVersion(product.data_version),
                check_results=list(product.checks),
                tags=input_tags(product.input_versions),
            )
            return
        _log_product(context, key, product)
        blocking = [str(v.check_name) for v in product.checks if _blocks(context, v)]
        if blocking:  # as Dagster itself fails the step of one slide
            failed[key] = f"the check {', '.join(blocking)} failed"
            context.log.error("%s: %s", key, failed[key])
            continue
        per_slide_s = (time.monotonic() - started) / i
        context.log.info(
            "[%d/%d] %s done, %s per slide, %s left",
            *(i, len(keys), key, duration(per_slide_s), duration(per_slide_s * (len(keys) - i))),
        )
    if failed:
        raise dg.Failure(
            f"{len(failed)} of {len(keys)} slides failed. "
            + " | ".join(f"{key}: {why}" for key, why in failed.items()),
            metadata={"failed_slides": dg.MetadataValue.json(failed)},
            allow_retries=False,
        )
    for check in context.assets_def.check_specs:
        # The verdicts are logged; this only tells Dagster that the step is complete.
        yield dg.Output(None, output_name=check.get_python_identifier())


def _log_failure(context: dg.AssetExecutionContext, outcome: Outcome[str, SlideProduct]) -> None:
    """Expected failures without a traceback; each also on the page of its slide."""
    assert outcome.error is not None, "only failures are logged here"
    show_failure(context, outcome.item, outcome.error)
    if isinstance(outcome.error, HoverFastError):
        context.log.error("%s failed (%s): %s", outcome.item, outcome.kind, outcome.error)
    else:
        context.log.error("%s failed unexpectedly", outcome.item, exc_info=outcome.error)


def _blocks(context: dg.AssetExecutionContext, verdict: dg.AssetCheckResult) -> bool:
    """Whether a verdict says that nothing may be made of the product."""
    if verdict.passed or verdict.severity is not dg.AssetCheckSeverity.ERROR:
        return False
    specs = context.assets_def.check_specs
    return any(spec.blocking and spec.name == verdict.check_name for spec in specs)


def _log_product(context: dg.AssetExecutionContext, key: str, product: SlideProduct) -> None:
    context.log_event(
        dg.AssetMaterialization(
            asset_key=context.asset_key,
            partition=key,
            metadata=product.metadata,
            tags=provenance_tags(context, key, product.data_version)
            | input_tags(product.input_versions),
        )
    )
    for verdict in product.checks:
        context.log_event(
            dg.AssetCheckEvaluation(
                asset_key=context.asset_key,
                check_name=str(verdict.check_name),
                passed=verdict.passed,
                metadata=verdict.metadata,
                severity=verdict.severity,
                description=verdict.description,
                partition=key,
            )
        )
