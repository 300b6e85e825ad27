"""Which model a scope uses: registered, promoted, rolled back, retired. No torch is needed."""

from __future__ import annotations

from pathlib import Path

from hoverfast_platform.catalogue import DEFAULT_SCOPE, Catalogue, ModelStanding
from hoverfast_platform.errors import SettingsError
from hoverfast_platform.evaluation.promotion import Judgement, judge_candidate, promote_judged
from hoverfast_platform.files import file_sha256
from hoverfast_platform.model.checkpoint import load_model
from hoverfast_platform.model.registry import available_models
from hoverfast_platform.use_cases.record import model_record
from hoverfast_platform.verdict import PromotionPolicy


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
