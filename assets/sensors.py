"""What happens by itself: slides are noticed, and runs whose process is gone are given up.

From a new partition on, the automation conditions of ``assets/automation.py`` take over.
"""

from __future__ import annotations

import json

import dagster as dg

from hoverfast_platform.assets.names import Names
from hoverfast_platform.assets.partitions import first_block, missing_slides, range_tags
from hoverfast_platform.assets.unfinished import has_unfinished_run, why
from hoverfast_platform.resources.artefact_folder import ArtefactFolder
from hoverfast_platform.resources.heartbeat import of_this_machine, silent_runs
from hoverfast_platform.resources.slide_folders import SlideFolders

INTAKE = "new files"
_RETURNED = "its file is back"
_MAX_RETURNED_PER_RUN = 32

_MAX_NEW_PER_TICK = 5_000
"""A tick has 60 s; adding 10,000 partitions took 0.4 s on SQLite and 1.7 s on PostgreSQL."""


def new_slides(
    context: dg.SensorEvaluationContext,
    store: ArtefactFolder,
    slide_folders: SlideFolders,
    *,
    names: Names = Names(),
) -> dg.SensorResult:
    """Looks through the watched folders every 15 s; never opens a slide itself.

    Files that stayed unchanged are left to one run of `slide_inventory`, which registers them
    or puts them into quarantine; while that runs, no other is started. Its state is in the
    catalogue, so a restart of the daemon loses nothing and repeats nothing: slides that were
    registered and have no partition yet get one at the next look.
    """
    with store.open_catalogue() as catalogue:
        files = catalogue.files
        problems = slide_folders.look(files)
        counts = files.counts()
        new = missing_slides(context.instance, names, files.slide_keys())[:_MAX_NEW_PER_TICK]
    for problem in problems:
        context.log.warning(problem)
    requests, tags = [], why(INTAKE, names)
    if counts["ready"] and not has_unfinished_run(context.instance, tags):
        config = dg.RunConfig(
            {names.op("slide_inventory"): {"config": {"retry_quarantined": False}}}
        )
        inventory = names.key("slide_inventory")
        requests = [dg.RunRequest(run_config=config, tags=tags, asset_selection=[inventory])]
    state = ", ".join(f"{n} {name}" for name, n in sorted(counts.items())) or "no slides"
    return dg.SensorResult(
        run_requests=requests,
        dynamic_partitions_requests=[names.slides.build_add_request(new)] if new else [],
        skip_reason=None if requests else dg.SkipReason("; ".join([*problems, state])),
    )


def returned_slides(
    context: dg.SensorEvaluationContext, store: ArtefactFolder, *, names: Names = Names()
) -> dg.SensorResult | dg.SkipReason:
    """Has slides go on that failed because their file was away, once it is there again.

    A share that is not mounted for a night fails every slide whose turn it is. Each is asked for
    once per failure, at the step that failed, also where an older product of it is there, or at
    the first step it lacks; what follows comes by itself. One run at a time.
    """
    with store.open_catalogue() as catalogue:
        found = catalogue.files.returned()
    asked = set(json.loads(context.cursor or "[]")) & {back.failure_id for back in found}
    due = {back.key: back.failure_id for back in found if back.failure_id not in asked}
    if not due:
        return dg.SkipReason("no slide waits for its file, or it is not back")
    tags = why(_RETURNED, names)
    if has_unfinished_run(context.instance, tags):
        return dg.SkipReason("a run of it is under way")
    keys = context.instance.get_dynamic_partitions(names.word("slides"))
    failed_at = {back.key: back.step for back in found}
    left = due.keys() & set(keys)
    asked |= {due[key] for key in due.keys() - left}
    requests = []
    for asset in map(names.key, ("slide", "stain", "tissue_mask", "nuclei")):
        wanted = {key for key in left if failed_at[key] == asset.to_user_string()}
        if asset != names.key("stain"):  # what a slide is stained with is looked at by itself
            wanted |= left - context.instance.get_materialized_partitions(asset)
        block = first_block(keys, wanted, _MAX_RETURNED_PER_RUN)
        if block:
            requests.append(
                dg.RunRequest(
                    run_key=f"{asset.to_user_string()} {block[0]} {due[block[0]]}",
                    asset_selection=[asset],
                    tags=tags | range_tags(block),
                )
            )
            asked |= {due[key] for key in block}
        left -= wanted
    asked |= {due[key] for key in left}  # these lack nothing: somebody was faster
    return dg.SensorResult(run_requests=requests, cursor=json.dumps(sorted(asked)))


def lost_runs(
    context: dg.SensorEvaluationContext,
    store: ArtefactFolder,
    *,
    lost_after_s: float,
    names: Names = Names(),
) -> dg.SkipReason:
    """Fails runs whose process is gone: a reboot, `kill -9`, a stopped container.

    Dagster alone would show them as running for ever, and their slides would wait. Once
    failed they are retried as `run_retries` in dagster.yaml says; finished slides and tile
    blocks are not computed again. Where machines share a store instead of a folder, only runs of
    this machine are looked at: the run launcher's own monitoring watches the others.
    """
    running = context.instance.get_run_records(
        dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING])
    )
    started_s = {
        record.dagster_run.run_id: record.start_time or record.create_timestamp.timestamp()
        for record in running
    }
    if store.shared:
        started_s = of_this_machine(store.root, started_s)
    lost = silent_runs(store.root, started_s, lost_after_s=lost_after_s)
    for record in running:
        run = record.dagster_run
        if run.run_id in lost:
            context.instance.report_run_failed(
                run, f"No sign of life for {lost[run.run_id]:.0f} s: its process is gone."
            )
    return dg.SkipReason(
        f"gave up {', '.join(lost)}" if lost else f"{len(running)} runs, all alive"
    )
