"""What happens by itself after a cohort or the promoted model changed."""

from __future__ import annotations

import datetime
import json
from dataclasses import asdict

import dagster as dg

from hoverfast_platform.assets.learning import cohort
from hoverfast_platform.assets.partitions import SLIDES, cohorts, first_block, range_tags
from hoverfast_platform.assets.segmentation import nuclei
from hoverfast_platform.assets.segmentation_model import segmentation_model
from hoverfast_platform.assets.unfinished import has_unfinished_run
from hoverfast_platform.cohorts.changes import CohortChange, SeenCohort, look_at_cohorts
from hoverfast_platform.errors import HoverFastError
from hoverfast_platform.model.registry import weights_digest
from hoverfast_platform.resources.artefact_folder import ArtefactFolder
from hoverfast_platform.resources.leased_device import LeasedDevice
from hoverfast_platform.resources.patience import Patience

MAX_RESEGMENTED_PER_RUN = 32
"""One run at a time, so that new slides find the device free in between."""

_MODEL_TAG = {"hoverfast/why": "another model"}
_RESEGMENT_TAG = {"hoverfast/why": "made by another model"}


def cohort_changes(
    context: dg.SensorEvaluationContext, store: ArtefactFolder, patience: Patience
) -> dg.SensorResult:
    """Compares every plan in `cohorts/` with what its student learned from, every 30 s.

    Slides that match now, patients, labels and the plan itself count. A change is passed on to
    `cohort` when nothing more came for the quiet time and the cohort is not being learned from.
    The plan's name is its partition. A plan that cannot be followed is named in the tick.
    """
    before = {name: SeenCohort(**seen) for name, seen in json.loads(context.cursor or "{}").items()}
    with store.open_catalogue() as catalogue:
        found = look_at_cohorts(
            store.learning(),
            catalogue,
            before,
            now_s=_now_s(),
            quiet_s=patience.quiet_s,
        )
    known = set(context.instance.get_dynamic_partitions(str(cohorts.name)))
    new = [name for name in found.seen if name not in known]
    due, told = [], [f"{name}: {problem}" for name, problem in found.problems.items()]
    for change in found.changes:
        if change.wait_s > 0:
            told.append(f"{change.name} changed, waits {change.wait_s:.0f} s for more")
        elif has_unfinished_run(context.instance, {"dagster/partition": change.name}):
            told.append(f"{change.name} changed while it is being learned from, waits")
        else:
            due.append(_request(change))
    return dg.SensorResult(
        run_requests=due,
        dynamic_partitions_requests=[cohorts.build_add_request(new)] if new else [],
        skip_reason=None
        if due
        else dg.SkipReason("; ".join(told) or f"{len(found.seen)} cohorts, none changed"),
        cursor=json.dumps({name: asdict(seen) for name, seen in found.seen.items()}),
    )


def _request(change: CohortChange) -> dg.RunRequest:
    return dg.RunRequest(
        # The version is in it since a cohort may become again what it once was.
        run_key=f"{change.name} v{change.version} {change.digest}",
        partition_key=change.name,
        asset_selection=[cohort.key],
        tags={"hoverfast/why": "cohort changed"},
    )


def model_changes(
    context: dg.SensorEvaluationContext, store: ArtefactFolder, compute: LeasedDevice
) -> dg.SensorResult | dg.SkipReason:
    """Looks every 30 s whether slides are still segmented with what `segmentation_model` says."""
    try:
        now = weights_digest(compute.model_path())
    except (HoverFastError, OSError) as error:
        return dg.SkipReason(f"the model in use cannot be read: {error}")
    event = context.instance.get_latest_materialization_event(segmentation_model.key)
    materialization = event.asset_materialization if event is not None else None
    tags = materialization.tags if materialization is not None else None
    if tags is not None and tags.get("dagster/data_version") == now:
        return dg.SkipReason(f"still {now[:10]}")
    if has_unfinished_run(context.instance, _MODEL_TAG):
        return dg.SkipReason("it is being looked at")
    return dg.SensorResult(
        run_requests=[dg.RunRequest(tags=_MODEL_TAG, asset_selection=[segmentation_model.key])]
    )


def resegment_slides(
    context: dg.SensorEvaluationContext, store: ArtefactFolder, compute: LeasedDevice
) -> dg.SensorResult | dg.SkipReason:
    """Has slides segmented again that another model did, at most 32 a run, one run at a time.

    Goes through all slides once per model; those that fail are not asked for again. Switch it
    off at any moment: what is done is done, and it goes on from there.
    """
    try:
        model = weights_digest(compute.model_path())
    except (HoverFastError, OSError) as error:
        return dg.SkipReason(f"the model in use cannot be read: {error}")
    if has_unfinished_run(context.instance, _RESEGMENT_TAG):
        return dg.SkipReason("a run of it is under way")
    with store.open_catalogue() as catalogue:
        old = set(catalogue.results.slides_of_other_models(model))
    keys = context.instance.get_dynamic_partitions(SLIDES)
    of_model, _, done_to = (context.cursor or "").partition(" ")
    start = keys.index(done_to) + 1 if of_model == model and done_to in keys else 0
    block = first_block(keys[start:], old, MAX_RESEGMENTED_PER_RUN)
    if not block:
        return dg.SkipReason(f"none left to do for model {model[:10]}")
    request = dg.RunRequest(
        run_key=f"{model} {block[0]} {block[-1]}",
        asset_selection=[nuclei.key],
        tags=_RESEGMENT_TAG | range_tags(block),
    )
    return dg.SensorResult(run_requests=[request], cursor=f"{model} {block[-1]}")


def _now_s() -> float:
    return datetime.datetime.now(datetime.UTC).timestamp()
