"""The gate applied to what the catalogue knows of a candidate and of the promoted model."""

from __future__ import annotations

from hoverfast_platform.catalogue import (
    DEFAULT_SCOPE,
    Catalogue,
    ModelStanding,
)
from hoverfast_platform.config import FileRecord
from hoverfast_platform.errors import CatalogueError
from hoverfast_platform.evaluation.gate import judge
from hoverfast_platform.verdict import MeasuredScores, PromotionPolicy, Verdict


class Judgement(FileRecord):
    """A verdict, ready to be acted on: what ``verdict.json`` holds."""

    sha256: str
    """Digest of the candidate."""
    scope: str
    """The scope that it is a candidate for."""
    replaces: str | None
    """Digest of the model against which it was judged; None for the first of its scope."""
    verdict: Verdict


def judge_candidate(
    catalogue: Catalogue,
    sha256: str,
    *,
    scope: str = DEFAULT_SCOPE,
    policy: PromotionPolicy = PromotionPolicy(),
) -> Judgement:
    """Let the gate judge a registered model by its newest measurements; changes nothing.

    Raises:
        CatalogueError: If it is not a candidate or a former model of the scope, or if it or
            the promoted model was not measured on the fixed validation set.
    """
    candidate = _candidate(catalogue, sha256, scope)
    promoted = catalogue.models.promoted(scope)
    wanted = policy.validation_digest or _judged_on(catalogue, promoted)
    ours = _measurement(catalogue, candidate, wanted)
    theirs = None
    if promoted is not None:
        theirs = _measurement(catalogue, promoted, ours.dataset_digest)
    return Judgement(
        sha256=sha256,
        scope=scope,
        replaces=promoted.sha256 if promoted is not None else None,
        verdict=judge(
            ours,
            theirs,
            card=candidate.card,
            ancestry=catalogue.descent.ancestry(sha256),
            policy=policy,
        ),
    )


def promote_judged(catalogue: Catalogue, judgement: Judgement, *, reason: str) -> None:
    """Promote a candidate that passed the gate.

    Raises:
        CatalogueError: If it did not pass, or another model was promoted since the judgement.
    """
    catalogue.models.promote(
        judgement.sha256,
        replaces=judgement.replaces,
        reason=reason,
        verdict=judgement.verdict,
        scope=judgement.scope,
    )


def _candidate(catalogue: Catalogue, sha256: str, scope: str) -> ModelStanding:
    for standing in catalogue.models.standings():
        if standing.sha256 == sha256 and standing.scope == scope:
            if standing.stage == "promoted":
                raise CatalogueError(
                    f"{standing.name} {standing.version} is promoted in scope {scope!r} already."
                )
            return standing
    raise CatalogueError(
        f"The model {sha256[:10]} is not a candidate in scope {scope!r}.",
        "Measure it with `hoverfast evaluate --catalogue`, which registers it.",
    )


def _judged_on(catalogue: Catalogue, promoted: ModelStanding | None) -> str:
    """Digest of the set on which the promoted model was judged last; empty if there is none."""
    if promoted is not None:
        for entry in catalogue.models.history(promoted.sha256):
            if entry.scope == promoted.scope and entry.verdict is not None:
                return entry.verdict.candidate.dataset_digest
    return ""


def _measurement(catalogue: Catalogue, model: ModelStanding, dataset_digest: str) -> MeasuredScores:
    """The newest measurement on a set, or on any if none is named."""
    known = catalogue.models.evaluations(model.sha256)
    for record in known:
        if dataset_digest in ("", record.dataset_digest):
            return record.measured
    others = ", ".join(f"{r.dataset} ({r.dataset_digest[:10]})" for r in known) or "nothing"
    raise CatalogueError(
        f"{model.name} {model.version} was measured on {others}, not on the validation set"
        + (f" {dataset_digest[:10]}." if dataset_digest else "."),
        "Run `hoverfast evaluate MODEL DATASET -o OUT --catalogue CATALOGUE` on that set.",
    )
