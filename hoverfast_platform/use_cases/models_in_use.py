"""Which model a slide is segmented with now, and which slides were last segmented with another."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from hoverfast_platform.catalogue import (
    DEFAULT_SCOPE,
    Catalogue,
    CurrentResult,
    FailureRecord,
    KnownSlide,
    ModelStanding,
)
from hoverfast_platform.errors import CheckpointError
from hoverfast_platform.model.registry import (
    DEFAULT_MODEL,
    find_model,
    shipped_for,
    weights_digest,
)

_MPP_AT_20X = 0.5


@dataclass(frozen=True)
class ModelInUse:
    """The model with which slides of a scope are segmented.

    Attributes:
        scope: Scope of the slides.
        sha256: Digest of the weights.
        path: File of the weights.
        standing: Its promotion; None for the model that ships, or one given by hand.
        since: When the scope came to use it, as far as the catalogue knows; UTC.
    """

    scope: str
    sha256: str
    path: Path
    standing: ModelStanding | None = None
    since: datetime.datetime | None = None


def only_here(_standing: ModelStanding) -> Path | None:
    """Looks for no model elsewhere: there is no shared store."""
    return None


def model_in_use(
    catalogue: Catalogue,
    scope: str = DEFAULT_SCOPE,
    mpp: float | None = None,
    elsewhere: Callable[[ModelStanding], Path | None] = only_here,
) -> ModelInUse:
    """The model promoted in a scope; else the one promoted by default; else the one that ships.

    Args:
        catalogue: Knows what is promoted.
        scope: Scope of the slides.
        mpp: Micrometres per pixel of the slides, for which the one that ships is chosen.
        elsewhere: Brings a model here that is not where it was registered; None if it cannot.

    Raises:
        CheckpointError: If its file is missing, or is not the one that was promoted.
    """
    asked = tuple(dict.fromkeys((scope, DEFAULT_SCOPE)))
    since = max(filter(None, map(catalogue.models.promotion_changed, asked)), default=None)
    for name in asked:
        standing = catalogue.models.promoted(name)
        if standing is not None:
            path = _file_of(standing, elsewhere)
            return ModelInUse(scope, standing.sha256, path, standing, since)
    path = find_model(shipped_for(mpp))
    return ModelInUse(scope, weights_digest(path), path, None, since)


def _file_of(standing: ModelStanding, elsewhere: Callable[[ModelStanding], Path | None]) -> Path:
    try:
        return _registered_file(standing)
    except CheckpointError:
        brought = elsewhere(standing)
        if brought is None:
            raise
        return brought


def _registered_file(standing: ModelStanding) -> Path:
    title = f"The promoted model {standing.name} {standing.version}"
    remedy = (
        "Put its file back, publish it where machines share a store (hoverfast artefacts "
        "publish-model), or roll back: hoverfast models promote FORMER --roll-back."
    )
    if not standing.path:
        raise CheckpointError(f"{title} has no file registered.", remedy)
    try:
        path = find_model(standing.path)
    except CheckpointError as error:
        raise CheckpointError(f"{title} cannot be taken: {error.message}", remedy) from error
    if weights_digest(path) != standing.sha256:
        raise CheckpointError(f"{title} was {path}, which holds another model now.", remedy)
    return path


ModelOf: TypeAlias = Callable[[str, float | None], ModelInUse]
"""Returns the model of a scope for slides of a scale in um per pixel."""


def kind_of_slides(scope: str, mpp: float | None) -> str:
    """Which slides have one model: those of a scope, or those of it that are scanned at 20x."""
    return scope if shipped_for(mpp) == DEFAULT_MODEL else f"{scope}, slides at 20x"


def models_in_use(model_of: ModelOf, scopes: Iterable[str]) -> dict[str, ModelInUse]:
    """The model of every kind of slides, see :func:`kind_of_slides`; scopes in their order."""
    kinds = [(scope, mpp) for scope in scopes for mpp in (None, _MPP_AT_20X)]
    return {kind_of_slides(scope, mpp): model_of(scope, mpp) for scope, mpp in kinds}


@dataclass(frozen=True)
class OutdatedSlide:
    """A slide whose nuclei were not found by the model in use.

    Attributes:
        result: Its present result.
        wanted: The model with which it should be segmented.
        failure: Why segmenting it again failed, if it did since.
    """

    result: CurrentResult
    wanted: ModelInUse
    failure: FailureRecord | None

    @property
    def is_possible(self) -> bool:
        """Whether it can be segmented again: its file is there, and it did not fail since."""
        slide = self.result.slide
        return self.failure is None and not slide.is_replaced and not slide.is_missing


def outdated_slides(
    catalogue: Catalogue,
    scope_of: Callable[[KnownSlide], str],
    model_of: ModelOf,
) -> tuple[OutdatedSlide, ...]:
    """The slides whose present nuclei were found by another model than the one in use.

    The present results decide, not the runs that were asked for: a slide that was segmented again
    is not among them, and one whose run was cancelled is.

    Args:
        catalogue: Knows the results.
        scope_of: Returns the scope of a slide.
        model_of: Is asked once for each kind of slides.
    """
    models: dict[str, ModelInUse] = {}
    failures = catalogue.results.newest_failures()
    found = []
    for result in catalogue.results.current():
        scope, mpp = scope_of(result.slide), result.slide.mpp
        kind = kind_of_slides(scope, mpp)
        if kind not in models:
            models[kind] = model_of(scope, mpp)
        wanted = models[kind]
        if result.model_sha256 != wanted.sha256:
            failure = failures.get(result.slide.key)
            since = max(filter(None, (wanted.since, result.since)))
            is_newer = failure is not None and failure.at is not None and failure.at > since
            found.append(OutdatedSlide(result, wanted, failure if is_newer else None))
    return tuple(found)
