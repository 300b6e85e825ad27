"""Label sets, one partition each: annotated tiles that cohorts can name."""

from __future__ import annotations

import json

import dagster as dg

from hoverfast_platform.assets.data_versions import DATA_VERSION
from hoverfast_platform.assets.names import Names
from hoverfast_platform.assets.pictures import inline_picture
from hoverfast_platform.cohorts.label_sets import LabelSet, find_label_sets
from hoverfast_platform.errors import HoverFastError
from hoverfast_platform.resources.artefact_folder import ArtefactFolder


def label_set_spec(names: Names) -> dg.AssetSpec:
    """The asset `label_set` of a pipeline; nothing runs to make it."""
    return dg.AssetSpec(
        names.key("label_set"),
        partitions_def=names.label_sets,
        group_name=names.word("learning"),
        kinds={"hdf5"},
        owners=["team:platform"],
        tags=names.tags("learning"),
        description="Tiles whose nuclei people or other tools outlined.\n\n"
        "**Where it is.** `label_sets/` in the artefact folder: `NAME_train.pytable`, and "
        "`NAME_test.pytable` of other patients. `hoverfast teacher-labels` writes both, of "
        "images and labels that exist, or of what a teacher says (docs/learning.md).\n\n"
        "**What follows.** A cohort whose plan names it in `label_sets` learns from it; where its "
        "content changes, the cohort gets a new version.",
    )


def label_sets_made(
    context: dg.SensorEvaluationContext, store: ArtefactFolder, *, names: Names = Names()
) -> dg.SensorResult | dg.SkipReason:
    """Tells every 30 s which label sets are new or changed; each is a partition of `label_set`.

    Nothing is run. A set that cannot be read is named in the tick.
    """
    seen: dict[str, str] = json.loads(context.cursor or "{}")
    events: list[dg.AssetMaterialization] = []
    problems: list[str] = []
    for found in find_label_sets(store.learning().label_sets):
        try:
            digest = found.digest()
            if seen.get(found.name) == digest:
                continue
            events.append(_event(found, digest, names))
            seen[found.name] = digest
        except (HoverFastError, OSError) as error:
            problems.append(f"{found.name}: {error}")
    if not events:
        told = "; ".join(problems) or f"{len(seen)} label sets, none changed"
        return dg.SkipReason(told)
    for problem in problems:
        context.log.warning(problem)
    new = [event.partition for event in events if event.partition is not None]
    return dg.SensorResult(
        asset_events=events,
        dynamic_partitions_requests=[names.label_sets.build_add_request(new)],
        cursor=json.dumps(seen),
    )


def _event(found: LabelSet, digest: str, names: Names) -> dg.AssetMaterialization:
    from hoverfast_platform.storage.previews import draw_instances

    table = found.training()
    example = table.read(int(table.n_nuclei.argmax()))
    licences = sorted({label.licence for label in table.provenance.labels})
    return dg.AssetMaterialization(
        names.key("label_set"),
        partition=found.name,
        metadata={
            "example": inline_picture(
                draw_instances(example.image, example.instance_map), found.name
            ),
            "n_patches": len(table),
            "n_nuclei": int(table.n_nuclei.sum()),
            "n_patients": len(set(table.groups)),
            "has_held_out_side": found.held_out_path.is_file(),
            "mpp": table.mpp,
            "teacher": table.provenance.teacher,
            "licences": ", ".join(licences) or "unknown",
            "training_set": dg.MetadataValue.path(str(found.training_path)),
        },
        tags={DATA_VERSION: digest},
    )
