"""Which model a slide is segmented with now, and which slides were last segmented with another."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hoverfast_platform.catalogue import (
    DEFAULT_SCOPE,
    Catalogue,
    CurrentResult,
    FailureRecord,
    KnownSlide,
    ModelStanding,
)
from hoverfast_platform.errors import CheckpointError
from hoverfast_platform.model.registry import DEFAULT_MODEL, find_model, weights_digest


@dataclass(frozen=True)
class ModelInUse:
    """What slides of a scope are segmented with.

    Attributes:
        scope: Of the slides.
        sha256: Digest of the weights.
        path: Their file.
        standing: As what it was promoted; None for the model that ships, or one given by hand.
        since: When the scope came to use it, as far as the catalogue knows; UTC.
    """

    scope: str
    sha256: str
    path: Path
    standing: ModelStanding | None = None
    since: datetime.datetime | None = None


def model_in_use(catalogue: Catalogue, scope: str = DEFAULT_SCOPE) -> ModelInUse:
    """The model promoted in a scope; else the one promoted by default; else the one that ships.

    Raises:
        CheckpointError: If its file is missing, or is not the one that was promoted.
    """
    asked = tuple(dict.fromkeys((scope, DEFAULT_SCOPE)))
    since = max(filter(None, map(catalogue.models.promotion_changed, asked)), default=None)
    for name in asked:
        standing = catalogue.models.promoted(name)
        if standing is not None:
            return ModelInUse(scope, standing.sha256, _file_of(standing), standing, since)
    path = find_model(DEFAULT_MODEL)
    return ModelInUse(scope, weights_digest(path), path, None, since)


def _file_of(standing: ModelStanding) -> Path:
    title = f"The promoted model {standing.name} {standing.version}"
    remedy = "Put its file back, or roll back: hoverfast models promote FORMER --roll-back."
    if not standing.path:
        raise CheckpointError(f"{title} has no file registered.", remedy)
    path = find_model(standing.path)
    if weights_digest(path) != standing.sha256:
        raise CheckpointError(f"{title} was {path}, which holds another model now.", remedy)
    return path


@dataclass(frozen=True)
class OutdatedSlide:
    """A slide whose nuclei are not of the model in use.

    Attributes:
        result: What its nuclei are now.
        wanted: What they should be made with.
        failure: Why making them again failed, if it did since.
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
    in_use: Callable[[str], ModelInUse],
) -> tuple[OutdatedSlide, ...]:
    """The slides whose current nuclei another model found than the one in use.

    Asked of what is, not of what was asked for: a slide that was made again is not among them, and
    one whose run was cancelled is.

    Args:
        catalogue: Knows the results.
        scope_of: The scope of a slide.
        in_use: The model of a scope.
    """
    models: dict[str, ModelInUse] = {}
    failures = catalogue.results.newest_failures()
    found = []
    for result in catalogue.results.current():
        scope = scope_of(result.slide)
        if scope not in models:
            models[scope] = in_use(scope)
        wanted = models[scope]
        if result.model_sha256 != wanted.sha256:
            failure = failures.get(result.slide.key)
            since = max(filter(None, (wanted.since, result.since)))
            is_newer = failure is not None and failure.at is not None and failure.at > since
            found.append(OutdatedSlide(result, wanted, failure if is_newer else None))
    return tuple(found)
