"""New models from old ones: averaged, adapted, as int8, as ONNX."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hoverfast_platform.catalogue import DEFAULT_SCOPE, Catalogue
from hoverfast_platform.errors import SettingsError
from hoverfast_platform.evaluation.labelled_set import LabelledSet
from hoverfast_platform.inference.quantise import quantise
from hoverfast_platform.model.average import average_models as mean_of
from hoverfast_platform.model.card import ModelCard, inherited_labels
from hoverfast_platform.model.checkpoint import load_model, save_model
from hoverfast_platform.model.onnx_file import write_onnx
from hoverfast_platform.model.quantised import Int8Card
from hoverfast_platform.progress import OnProgress, ignore_progress
from hoverfast_platform.storage.patch_table import PatchTable
from hoverfast_platform.training.statistics import retake_statistics
from hoverfast_platform.use_cases.model_stages import register_model


def average_models(
    members: Sequence[str],
    out: Path,
    *,
    catalogue: Catalogue | None = None,
    scope: str = DEFAULT_SCOPE,
) -> ModelCard:
    """Average the weights of models that have a parent in common, into one model.

    Args:
        members: Built-in names or files.
        out: File of the new model, ``.safetensors``; its stem is the model's name.
        catalogue: Gets the new model as a candidate; None records nothing.
        scope: What it is a candidate for.

    Raises:
        SettingsError: If out is not a .safetensors file, or the models do not fit together.
        StorageError: If it cannot be written.
    """
    _check_suffix(out)
    network, card = mean_of([load_model(member) for member in members], out.stem)
    save_model(out, network, card)
    if catalogue is not None:
        register_model(catalogue, str(out), scope=scope, reason="averaged")
    return card


def adapt_model(
    model: str,
    images: Path,
    out: Path,
    *,
    n_patches: int = 64,
    catalogue: Catalogue | None = None,
    scope: str = DEFAULT_SCOPE,
) -> ModelCard:
    """Adapt a model to the stain of a set of images, without labels or training.

    Args:
        model: Built-in name or file.
        images: A patch table; its labels are not looked at.
        out: File of the new model, ``.safetensors``; its stem is the model's name.
        n_patches: The most patches that are looked at.
        catalogue: Gets the new model as a candidate; None records nothing.
        scope: What it is a candidate for.

    Raises:
        SettingsError: If out is not a .safetensors file, or the images have another scale.
        StorageError: If it cannot be written.
    """
    _check_suffix(out)
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
            "inherited": inherited_labels(loaded.card.labels, [loaded.card]),
            "metrics": (),
        }
    )
    save_model(out, loaded.network, card)
    if catalogue is not None:
        register_model(catalogue, str(out), scope=scope, reason=f"adapted to {images.stem}")
    return card


def quantise_model(
    model: str,
    calibrate_on: LabelledSet,
    check_on: LabelledSet,
    *,
    on_progress: OnProgress = ignore_progress,
) -> Int8Card:
    """Put an int8 form beside a model, for CPUs; only if it agrees with the weights.

    The card beside the model keeps what was calibrated on and how well the two agree.

    Args:
        model: Built-in name or file, ``.safetensors``.
        calibrate_on: Images like those to be segmented; their labels are not looked at.
        check_on: Labelled images of other patients.
        on_progress: Is called after every image of the check, which sees each image twice.

    Raises:
        HoverFastError: As :func:`~hoverfast_platform.inference.quantise.quantise` does.
    """
    return quantise(load_model(model), calibrate_on, check_on, on_progress=on_progress)


def export_model(model: str, out: Path) -> Path:
    """Write a model as an ONNX file, which other programs run without this platform.

    Args:
        model: Built-in name or file.
        out: The file, ``.onnx``; replaced if it exists.

    Returns:
        The file.

    Raises:
        SettingsError: If out is not a .onnx file, or the packages that write it are missing.
        StorageError: If it cannot be written.
    """
    if out.suffix != ".onnx":
        raise SettingsError(f"The exported file must end in .onnx, got {out.name}.")
    write_onnx(load_model(model), out)
    return out


def _check_suffix(out: Path) -> None:
    if out.suffix != ".safetensors":
        raise SettingsError(f"The file of the new model must end in .safetensors, got {out.name}.")
