"""New models from old ones: averaged, or adapted to a lab's stain."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hoverfast_platform.errors import SettingsError
from hoverfast_platform.model.average import average_models
from hoverfast_platform.model.card import ModelCard
from hoverfast_platform.model.checkpoint import load_model, save_model
from hoverfast_platform.storage.patch_table import PatchTable
from hoverfast_platform.training.statistics import retake_statistics


def average(members: Sequence[str], out: Path) -> ModelCard:
    """Average the weights of models that have a parent in common, into one model.

    Args:
        members: Built-in names or files.
        out: File of the new model, ``.safetensors``; its stem is the model's name.

    Raises:
        SettingsError: If the models differ in what must be equal.
        StorageError: If it cannot be written.
    """
    network, card = average_models([load_model(member) for member in members], out.stem)
    save_model(out, network, card)
    return card


def adapt(model: str, images: Path, out: Path, *, n_patches: int = 64) -> ModelCard:
    """Adapt a model to the stain of a set of images, without labels or training.

    Args:
        model: Built-in name or file.
        images: A patch table; its labels are not looked at.
        out: File of the new model, ``.safetensors``; its stem is the model's name.
        n_patches: At most so many are looked at.

    Raises:
        SettingsError: If the images have another scale than the model.
        StorageError: If it cannot be written.
    """
    loaded, table = load_model(model), PatchTable(images)
    if table.mpp != loaded.card.mpp:
        raise SettingsError(
            f"{images.name} is at {table.mpp} um/px, {loaded.card.name} at {loaded.card.mpp}.",
            "Make the set at the model's scale.",
        )
    retake_statistics(loaded.network, [table], n_patches, loaded.card.appearance)
    card = loaded.card.model_copy(
        update={
            "name": out.stem,
            "version": table.digest[:10],
            "description": f"{loaded.card.name} with batch-norm statistics of {images.stem}.",
            "parent_digest": loaded.digest,
            "metrics": (),
        }
    )
    save_model(out, loaded.network, card)
    return card
