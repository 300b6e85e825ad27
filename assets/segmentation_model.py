"""The ``segmentation_model`` asset: what slides are segmented with from now on."""

from typing import Any

import dagster as dg

from hoverfast_platform.assets.learning import promoted_model
from hoverfast_platform.model.registry import weights_digest
from hoverfast_platform.resources.artefact_folder import ArtefactFolder
from hoverfast_platform.resources.leased_device import LeasedDevice


@dg.asset(
    deps=[promoted_model],
    group_name="segmentation",
    kinds={"pytorch"},
    owners=["team:platform"],
)
def segmentation_model(store: ArtefactFolder, compute: LeasedDevice) -> dg.MaterializeResult[Any]:
    """The model that slides are segmented with: the promoted one, or the one that ships.

    **Where it is.** The catalogue says which is promoted; `path` is its weights file.

    **Running it again.** Looks again; the sensor `model_changes` does so after every promotion,
    retirement and roll-back, also those from the command line.

    **When it changes.** Nuclei made by another model are shown as stale and stay as they are. To
    make them again, materialize them, or switch on the sensor `resegment_slides`, which does it
    bit by bit.
    """
    from hoverfast_platform.model.checkpoint import load_model

    path = compute.model_path()
    model = load_model(path)
    with store.open_catalogue() as catalogue:
        promoted = catalogue.models.promoted(compute.scope)
        older = catalogue.results.slides_of_other_models(model.digest)
    is_promoted = promoted is not None and promoted.sha256 == model.digest
    card = model.card
    return dg.MaterializeResult(
        metadata={
            "model": f"{card.name} {card.version}",
            "sha256": model.digest,
            "stage": f"promoted: {promoted.reason}" if promoted and is_promoted else "not promoted",
            "slides_of_other_models": len(older),
            "description": card.description,
            "labels": ", ".join(f"{label.name} ({label.licence})" for label in card.labels),
            "teacher": card.teacher,
            "cohort": card.cohort,
            "path": dg.MetadataValue.path(str(path)),
        },
        data_version=dg.DataVersion(weights_digest(path)),
    )
