"""What happens by itself after a cohort or the promoted model changed."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial

import dagster as dg

from hoverfast_platform.assets.names import Names
from hoverfast_platform.assets.partitions import first_block, range_tags
from hoverfast_platform.assets.segmentation_model import models_version
from hoverfast_platform.assets.unfinished import has_unfinished_run, why
from hoverfast_platform.cohorts.changes import (
    CohortChange,
    SeenCohort,
    gate_asked_for,
    look_at_cohorts,
    wrong_plan,
)
from hoverfast_platform.cohorts.plan import CohortPlan
from hoverfast_platform.errors import HoverFastError
from hoverfast_platform.files import text_sha256
from hoverfast_platform.resources.artefact_folder import ArtefactFolder
from hoverfast_platform.resources.leased_device import LeasedDevice
from hoverfast_platform.use_cases.models_in_use import models_in_use, outdated_slides

MAX_RESEGMENTED_PER_RUN = 32
"""One run at a time, so that new slides find the device free in between."""

_LEARNING = ("cohort", "teacher_labels", "student_model", "model_evaluation", "promoted_model")
_MODEL = "another model"
_RESEGMENT = "made by another model"
_WANTED_TAG = "hoverfast/wanted_model"
_SLIDES_PER_TRY = (MAX_RESEGMENTED_PER_RUN, 8, 1)
"""A slide that ends its run's process takes neighbours with it that could be made."""


def cohort_changes(
    context: dg.SensorEvaluationContext,
    store: ArtefactFolder,
    *,
    quiet_s: float,
    names: Names = Names(),
    plans: Mapping[str, CohortPlan] | None = None,
) -> dg.SensorResult:
    """Compares every plan in `cohorts/` with what its student learned from, every 30 s.

    Slides that match now, patients, labels and the plan itself count. A change is passed on to
    `cohort` when nothing more came for the quiet time and the cohort is not being learned from.
    The plan's name is its partition. A plan that is wrong fails its `cohort`, once, with the field
    that is wrong. Where only gate or scope changed, the student is judged again, not trained again.
    `promoted_model` follows by itself, once the check `model_gate` passed.
    Learning that was cancelled is asked for again after the quiet time, and goes on where it was;
    to end it for good, switch this sensor off first. What failed waits for a person.
    """
    before = {name: SeenCohort(**seen) for name, seen in json.loads(context.cursor or "{}").items()}
    folder = store.learning(plans)
    with store.open_catalogue() as catalogue:
        found = look_at_cohorts(
            folder,
            catalogue,
            before,
            now_s=_now_s(),
            quiet_s=quiet_s,
        )
        changed = {change.name for change in found.changes}
        gates = {
            name: gate
            for name in found.seen.keys() - changed
            if (gate := gate_asked_for(folder, catalogue, name))
        }
    partitions = names.cohorts
    adds = []
    if isinstance(partitions, dg.DynamicPartitionsDefinition):
        known = set(context.instance.get_dynamic_partitions(names.word("cohorts")))
        new = [name for name in found.seen if name not in known]
        adds = [partitions.build_add_request(new)] if new else []
    due, told = [], [f"{name}: {problem}" for name, problem in found.problems.items()]
    cancelled = {
        name: run
        for name in found.seen
        if (run := _cancelled_learning(context.instance, name, names)) is not None
    }
    for name in cancelled.keys() - changed - gates.keys() - found.problems.keys():
        wait_s = _ended_s(cancelled[name]) + quiet_s - _now_s()
        if wait_s > 0:
            told.append(f"{name} was cancelled, is asked for again in {wait_s:.0f} s")
        else:
            due.append(_request_again(name, cancelled[name].dagster_run, names))
    for change in found.changes:
        if change.wait_s > 0:
            told.append(f"{change.name} changed, waits {change.wait_s:.0f} s for more")
        elif has_unfinished_run(context.instance, {"dagster/partition": change.name}):
            told.append(f"{change.name} changed while it is being learned from, waits")
        else:
            due.append(_request(change, names, cancelled.get(change.name)))
    for name in found.problems:
        if wrong := wrong_plan(folder, name):
            due.append(
                _request_of(name, f"wrong {text_sha256(wrong)}", "wrong plan", ("cohort",), names)
            )
    for name, gate in sorted(gates.items()):
        due.append(_request_of(name, f"gate {gate}", "gate changed", ("model_evaluation",), names))
    return dg.SensorResult(
        run_requests=due,
        dynamic_partitions_requests=adds,
        skip_reason=None
        if due
        else dg.SkipReason("; ".join(told) or f"{len(found.seen)} cohorts, none changed"),
        cursor=json.dumps({name: asdict(seen) for name, seen in found.seen.items()}),
    )


def _cancelled_learning(
    instance: dg.DagsterInstance, name: str, names: Names
) -> dg.RunRecord | None:
    """The newest run of a cohort, if somebody cancelled it."""
    runs = instance.get_run_records(dg.RunsFilter(tags={"dagster/partition": name}), limit=1)
    if not runs or runs[0].dagster_run.status != dg.DagsterRunStatus.CANCELED:
        return None
    of_learning = {names.learning_key(asset) for asset in _LEARNING}
    return runs[0] if of_learning & (runs[0].dagster_run.asset_selection or set()) else None


def _ended_s(record: dg.RunRecord) -> float:
    return record.end_time or record.create_timestamp.timestamp()


def _request_again(name: str, cancelled: dg.DagsterRun, names: Names) -> dg.RunRequest:
    """The same steps of a cohort once more; what they had finished they find finished."""
    return dg.RunRequest(
        run_key=f"{name} after {cancelled.run_id}",
        partition_key=name,
        asset_selection=sorted(cancelled.asset_selection or ()),
        tags=why("cancelled", names),
    )


def _request(
    change: CohortChange, names: Names, cancelled: dg.RunRecord | None = None
) -> dg.RunRequest:
    again = f" after {cancelled.dagster_run.run_id}" if cancelled is not None else ""
    return dg.RunRequest(
        # The version is in it since a cohort may become again what it once was.
        run_key=f"{change.name} v{change.version} {change.digest}{again}",
        partition_key=change.name,
        asset_selection=[names.learning_key("cohort")],
        tags=why("cohort changed", names),
    )


def _request_of(
    name: str, key: str, reason: str, assets: Sequence[str], names: Names
) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=f"{name} {key}",
        partition_key=name,
        asset_selection=[names.learning_key(asset) for asset in assets],
        tags=why(reason, names),
    )


def model_changes(
    context: dg.SensorEvaluationContext,
    store: ArtefactFolder,
    compute: LeasedDevice,
    *,
    names: Names = Names(),
) -> dg.SensorResult | dg.SkipReason:
    """Looks every 30 s whether slides are still segmented with what `segmentation_model` says."""
    try:
        scopes = store.scope_rules().names()
        models = models_in_use(partial(compute.model_in_use, store), scopes)
        now = models_version({kind: model.sha256 for kind, model in models.items()})
    except (HoverFastError, OSError) as error:
        return dg.SkipReason(f"the model in use cannot be read: {error}")
    asset, tags_of_run = names.key("segmentation_model"), why(_MODEL, names)
    event = context.instance.get_latest_materialization_event(asset)
    materialization = event.asset_materialization if event is not None else None
    tags = materialization.tags if materialization is not None else None
    if tags is not None and tags.get("dagster/data_version") == now:
        return dg.SkipReason(f"still {now[:10]}")
    if has_unfinished_run(context.instance, tags_of_run):
        return dg.SkipReason("it is being looked at")
    return dg.SensorResult(run_requests=[dg.RunRequest(tags=tags_of_run, asset_selection=[asset])])


def resegment_slides(
    context: dg.SensorEvaluationContext,
    store: ArtefactFolder,
    compute: LeasedDevice,
    *,
    names: Names = Names(),
) -> dg.SensorResult | dg.SkipReason:
    """Has slides segmented again whose nuclei are not of the model in use, one run at a time.

    Every look asks the catalogue anew which those are, so a cancelled run is asked for again, and
    what somebody else has made is not. Left alone are slides whose file is away or replaced, and
    those that failed since the model came into use. A run that ends before its first slide is done
    is tried with fewer slides, and its first slide is given up after three times. Switch it off at
    any moment: what is done is done, and it goes on from there.
    """
    resegments = why(_RESEGMENT, names)
    if has_unfinished_run(context.instance, resegments):
        return dg.SkipReason("a run of it is under way")
    try:
        with store.open_catalogue() as catalogue:
            outdated = outdated_slides(
                catalogue, store.scope_of(), partial(compute.model_in_use, store)
            )
    except (HoverFastError, OSError) as error:
        return dg.SkipReason(f"the model in use cannot be read: {error}")
    wanted = {
        slide.result.slide.key: slide.wanted.sha256 for slide in outdated if slide.is_possible
    }
    keys, given_up = context.instance.get_dynamic_partitions(names.word("slides")), set[str]()
    while block := first_block(keys, wanted.keys() - given_up, MAX_RESEGMENTED_PER_RUN):
        first = block[0]
        tags = resegments | {_WANTED_TAG: wanted[first]}
        n_failed = _n_failed_at(context.instance, tags, first)
        if n_failed < len(_SLIDES_PER_TRY):
            tags |= range_tags(block[: _SLIDES_PER_TRY[n_failed]])
            return dg.SensorResult(
                run_requests=[dg.RunRequest(asset_selection=[names.key("nuclei")], tags=tags)]
            )
        given_up.add(first)
    n_failed = sum(slide.failure is not None for slide in outdated)
    return dg.SkipReason(
        f"none left to do: {len(outdated)} slides are of other models, {n_failed} of them failed "
        f"since, {len(outdated) - len(wanted) - n_failed} have no file, {len(given_up)} ended "
        "their runs"
    )


def _n_failed_at(instance: dg.DagsterInstance, tags: Mapping[str, str], first: str) -> int:
    """How many runs for the same model failed without finishing their first slide.

    Those that the machine was too busy to start say nothing of the slide.
    """
    failed = dg.RunsFilter(
        statuses=[dg.DagsterRunStatus.FAILURE],
        tags={**tags, "dagster/asset_partition_range_start": first},
    )
    newest = instance.get_run_records(failed, limit=len(_SLIDES_PER_TRY))
    return sum(record.start_time is not None for record in newest)


def _now_s() -> float:
    return datetime.datetime.now(datetime.UTC).timestamp()
