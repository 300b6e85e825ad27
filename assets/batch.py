"""Many slides in one run: each is recorded the moment it is done, a bad one fails alone.

A partitioned asset that simply returns records all partitions of its run or none. Here every
finished slide logs its own materialization, and the step fails at the end naming the bad
ones, so that Dagster shows exactly those as failed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg

from hoverfast_platform.errors import HoverFastError


@dataclass(frozen=True)
class SlideProduct:
    """What an asset made of one slide.

    Attributes:
        metadata: Shown in the UI.
        data_version: Digest of the content; equal content does not make others stale.
    """

    metadata: Mapping[str, Any]
    data_version: str


def process_slides(
    context: dg.AssetExecutionContext, make: Callable[[str], SlideProduct]
) -> Iterator[dg.MaterializeResult[Any]]:
    """Make the product of every slide of this run; ``yield from`` it.

    One slide gives an ordinary result, so that later steps of the run go on. In a run of
    several, a slide that fails with one of the engine's errors is listed and the others go
    on; any other exception is a defect and ends the step.

    Raises:
        dagster.Failure: At the end, naming the slides that failed.
    """
    if not context.has_partition_key_range:
        product = _make_one(context.partition_key, make)
        yield dg.MaterializeResult(
            metadata=product.metadata, data_version=dg.DataVersion(product.data_version)
        )
        return
    keys = list(context.partition_keys)
    failed: dict[str, str] = {}
    for i, key in enumerate(keys, 1):
        try:
            product = make(key)
        except HoverFastError as error:
            failed[key] = f"{error.kind}: {error}"
            # Expected and explained: a traceback would only hide the remedy.
            context.log.error("[%d/%d] %s failed: %s", i, len(keys), key, error)  # noqa: TRY400
            continue
        context.log_event(
            dg.AssetMaterialization(
                asset_key=context.asset_key,
                partition=key,
                metadata=product.metadata,
                tags={"dagster/data_version": product.data_version},
            )
        )
        context.log.info("[%d/%d] %s done", i, len(keys), key)
    if failed:
        raise dg.Failure(
            f"{len(failed)} of {len(keys)} slides failed: {', '.join(failed)}",
            metadata={"failed_slides": dg.MetadataValue.json(failed)},
            allow_retries=False,
        )


def _make_one(key: str, make: Callable[[str], SlideProduct]) -> SlideProduct:
    try:
        return make(key)
    except HoverFastError as error:
        raise dg.Failure(
            f"{key}: {error}",
            metadata={"kind": error.kind, "remedy": error.remedy},
            allow_retries=error.is_transient,
        ) from error
