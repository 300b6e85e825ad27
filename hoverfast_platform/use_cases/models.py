"""New models from old ones (averaged, adapted, int8, ONNX), and which model a scope uses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hoverfast_platform.catalogue import DEFAULT_SCOPE, Catalogue, ModelStanding
from hoverfast_platform.errors import SettingsError
from hoverfast_platform.evaluation.labelled_set import LabelledSet
from hoverfast_platform.evaluation.promotion import Judgement, judge_candidate, promote_judged
from hoverfast_platform.files import file_sha256
from hoverfast_platform.inference.quantise import quantise
from hoverfast_platform.model.average import average_models as mean_of
from hoverfast_platform.model.card import ModelCard, inherited_labels
from hoverfast_platform.model.checkpoint import load_model, save_model
from hoverfast_platform.model.onnx_file import write_onnx
from hoverfast_platform.model.quantised import Int8Card
from hoverfast_platform.model.registry import available_models
from hoverfast_platform.progress import OnProgress, ignore_progress
from hoverfast_platform.storage.patch_table import PatchTable
from hoverfast_platform.training.statistics import retake_statistics
from hoverfast_platform.use_cases.record import model_record
from hoverfast_platform.verdict import PromotionPolicy


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


def register_model(
    catalogue: Catalogue, model: str, *, scope: str = DEFAULT_SCOPE, reason: str = "registered"
) -> str:
    """Register a model as a candidate; one that the scope knows keeps its stage.

    Args:
        catalogue: Gets the model.
        model: Built-in name or file.
        scope: What it is a candidate for.
        reason: Why, for the history.

    Returns:
        The digest of its weights.

    Raises:
        CheckpointError: If it cannot be loaded.
    """
    record = model_record(load_model(model))
    catalogue.models.register(record, scope=scope, reason=reason)
    return record.sha256


def find_registered(catalogue: Catalogue, model: str) -> str:
    """Return the digest of a file's bytes, else of the catalogue's model of that name.

    Args:
        catalogue: Where to look.
        model: A file, a name, ``name@version``, or the start of a digest.

    Raises:
        CatalogueError: If no model is called that, or several are.
    """
    if Path(model).is_file():
        return file_sha256(Path(model))
    return catalogue.models.find(model)


def promote_model(
    catalogue: Catalogue,
    model: str,
    *,
    scope: str = DEFAULT_SCOPE,
    policy: PromotionPolicy = PromotionPolicy(),
    reason: str = "passed the gate",
    dry_run: bool = False,
) -> Judgement:
    """Let the gate judge a model and promote it if it passes; the model in place is retired.

    Args:
        catalogue: Where it is registered and was measured.
        model: What :func:`find_registered` takes.
        scope: What it is promoted for.
        policy: What the model must show.
        reason: Why, for the history.
        dry_run: Whether to judge only, and change nothing.

    Returns:
        What the gate found; where its verdict did not pass, nothing was changed.

    Raises:
        CatalogueError: If it is not registered or not measured on the validation set, or if
            another model was promoted meanwhile.
    """
    sha256 = find_registered(catalogue, model)
    judgement = judge_candidate(catalogue, sha256, scope=scope, policy=policy)
    if judgement.verdict.passed and not dry_run:
        promote_judged(catalogue, judgement, reason=reason)
    return judgement


def roll_back(
    catalogue: Catalogue,
    model: str,
    *,
    reason: str,
    scope: str = DEFAULT_SCOPE,
    dry_run: bool = False,
) -> ModelStanding | None:
    """Bring back a model that was promoted before, or that ships, unjudged.

    The model in place is retired. Slides that it segmented are outdated from now on, see
    :func:`~hoverfast_platform.use_cases.models_in_use.outdated_slides`.

    Args:
        catalogue: Where both are registered; a model that ships is registered if need be.
        model: What :func:`find_registered` takes, or the name of a model that ships.
        reason: What is wrong with the model in place, for the history.
        scope: What it is promoted for.
        dry_run: Whether to change nothing.

    Returns:
        The model it replaces; None if the scope had none.

    Raises:
        SettingsError: If no reason is given.
        CatalogueError: If it was never promoted in the scope, and does not ship either.
    """
    if not reason.strip():
        raise SettingsError("A roll-back needs a reason: what is wrong with the model in place?")
    is_released = model in available_models()
    replaced = catalogue.models.promoted(scope)
    if is_released and not dry_run:
        sha256 = register_model(catalogue, model, scope=scope, reason="ships with the platform")
    else:
        sha256 = "" if is_released else find_registered(catalogue, model)
    if not dry_run:
        catalogue.models.promote(
            sha256,
            replaces=replaced.sha256 if replaced is not None else None,
            reason=reason,
            scope=scope,
            is_released=is_released,
        )
    return replaced


def retire_model(
    catalogue: Catalogue, model: str, *, reason: str, scope: str = DEFAULT_SCOPE
) -> None:
    """Take a model out of use; if it was promoted, its scope is left without a model.

    Raises:
        CatalogueError: If it is neither candidate nor promoted in the scope.
    """
    catalogue.models.retire(find_registered(catalogue, model), reason=reason, scope=scope)


def _check_suffix(out: Path) -> None:
    if out.suffix != ".safetensors":
        raise SettingsError(f"The file of the new model must end in .safetensors, got {out.name}.")
