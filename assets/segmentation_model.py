"""The ``segmentation_model`` asset: what slides are segmented with from now on."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import dagster as dg

from hoverfast_platform.assets.jobs import NIGHTLY_FRESHNESS
from hoverfast_platform.assets.names import Names
from hoverfast_platform.files import text_sha256


def models_version(in_use: Mapping[str, str]) -> str:
    """Version of the models in use: the model's digest where all slides have the same one.

    Args:
        in_use: Kind of slides to digest.
    """
    digests = set(in_use.values())
    if len(digests) == 1:
        return digests.pop()
    return text_sha256(json.dumps(in_use, sort_keys=True))


def used_version(digest: str, kind: str, in_use: Mapping[str, str]) -> str:
    """Version of `segmentation_model` that a slide was made with.

    A slide made with another model than that of its kind has that model's own digest, and so
    turns stale.

    Args:
        digest: Digest of the model that was really used.
        kind: The slide's own, see
            :func:`~hoverfast_platform.use_cases.models_in_use.kind_of_slides`.
        in_use: Kind of slides to digest.
    """
    return models_version(in_use) if in_use.get(kind) == digest else digest


def build_segmentation_model(
    names: Names, promoted: Sequence[dg.AssetKey] = ()
) -> dg.AssetsDefinition:
    """The asset `segmentation_model` of a pipeline.

    Args:
        names: Name of the pipeline.
        promoted: The assets `promoted_model` that may change it.
    """

    @dg.asset(
        key=names.key("segmentation_model"),
        deps=list(promoted),
        required_resource_keys=names.needs("store", "compute"),
        group_name=names.word("segmentation"),
        kinds={"pytorch"},
        owners=["team:platform"],
        tags=names.tags("segmentation"),
        freshness_policy=NIGHTLY_FRESHNESS,
    )
    def segmentation_model(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        """The models that slides are segmented with: the promoted one of each scope.

        **Which.** The model promoted in a slide's scope, else the one promoted in `default`, else
        the one that ships: for slides scanned at 20x another than for those at 40x. The attribute
        `scopes` of `SlideFolder` says which slides belong to which scope.

        **Where it is.** The catalogue says which is promoted; `path` is its weights file.

        **Running it again.** Looks again; the sensor `model_changes` does so after every promotion,
        retirement and roll-back, also those from the command line.

        **When it changes.** Nuclei whose current result is another model's are shown as stale and
        stay as they are. To make them again, materialize them, or switch on the sensor
        `resegment_slides`, which does it bit by bit.
        """
        from hoverfast_platform.model.checkpoint import load_model
        from hoverfast_platform.use_cases.models_in_use import models_in_use, outdated_slides

        store, compute = names.store(context), names.compute(context)
        models = models_in_use(partial(compute.model_in_use, store), store.scope_rules().names())
        with store.open_catalogue() as catalogue:
            older = outdated_slides(
                catalogue, store.scope_of(), partial(compute.model_in_use, store)
            )
        cards = {kind: load_model(model.path).card for kind, model in models.items()}
        first_kind, first = next(iter(models.items()))
        card, standing = cards[first_kind], first.standing
        rows = [
            f"| {kind} | {cards[kind].name} {cards[kind].version} | {model.sha256[:10]} | "
            f"{model.standing.reason if model.standing else 'ships with the platform'} |"
            for kind, model in models.items()
        ]
        table = "\n".join(["| slides | model | digest | why |", "|---|---|---|---|", *rows])
        return dg.MaterializeResult(
            metadata={
                "model": f"{card.name} {card.version}",
                "sha256": first.sha256,
                "stage": f"promoted: {standing.reason}" if standing else "not promoted",
                "scopes": dg.MetadataValue.md(table),
                "slides_of_other_models": len(older),
                "description": card.description,
                "labels": ", ".join(f"{label.name} ({label.licence})" for label in card.all_labels),
                "teacher": card.teacher,
                "cohort": card.cohort,
                "path": dg.MetadataValue.path(str(first.path)),
            },
            data_version=dg.DataVersion(
                models_version({kind: model.sha256 for kind, model in models.items()})
            ),
        )

    return segmentation_model
