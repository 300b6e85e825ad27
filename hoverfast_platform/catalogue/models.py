"""Models: versions through their stages (candidate, promoted, retired), and their measurements.

Each change starts with an UPDATE that states what must be true before it, so that of two
people promoting at once one succeeds and the other is told; unique indexes stand behind it.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from sqlalchemy import CursorResult, Select, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from hoverfast_platform.catalogue.database import Database
from hoverfast_platform.catalogue.descent import find_or_add_model
from hoverfast_platform.catalogue.descent_records import (
    ModelRecord,
)
from hoverfast_platform.catalogue.records import (
    DEFAULT_SCOPE,
    EvaluationRecord,
    ModelStageName,
    ModelStanding,
    ModelUse,
)
from hoverfast_platform.catalogue.rows import utc_now
from hoverfast_platform.catalogue.tables import (
    EvaluationRow,
    ModelStage,
    ModelVersion,
    Segmentation,
)
from hoverfast_platform.errors import CatalogueError
from hoverfast_platform.scores import EvaluationSummary
from hoverfast_platform.verdict import Verdict


@dataclass(frozen=True)
class _Entry:
    """What is recorded when a stage begins."""

    scope: str
    reason: str
    verdict: Verdict | None = None
    at: datetime.datetime = field(default_factory=utc_now)
    is_released: bool = False


class _ChangedMeanwhileError(Exception):
    """Ends the transaction: somebody changed the model; its state is then read for the message."""


class Models:
    """All reads and writes about models."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def register(self, model: ModelRecord, *, scope: str = DEFAULT_SCOPE, reason: str = "") -> None:
        """Add a model version as a candidate; one that the scope knows already keeps its stage.

        A known one keeps its name, and its path as long as its file exists.
        """
        with Session(self._database.writer) as session, session.begin():
            row = find_or_add_model(session, model, self._database.run_id)
            has_stage = select(ModelStage.id).where(
                ModelStage.model_version_id == row.id,
                ModelStage.scope == scope,
                ModelStage.left_at.is_(None),
            )
            if session.scalar(has_stage) is None:
                _enter(session, row, "candidate", _Entry(scope, reason))

    def note(self, model: ModelRecord) -> None:
        """Add a model that others descend from; it gets no stage in any scope."""
        with Session(self._database.writer) as session, session.begin():
            find_or_add_model(session, model, self._database.run_id)

    def promote(
        self,
        sha256: str,
        *,
        replaces: str | None,
        reason: str,
        verdict: Verdict | None = None,
        scope: str = DEFAULT_SCOPE,
        is_released: bool = False,
    ) -> None:
        """Make a model the promoted one of a scope; the one it replaces is retired.

        Rolling back is promoting a model that was promoted in the scope before, or one that ships
        with the platform: it has been judged, so no verdict is needed.

        Args:
            sha256: The model.
            replaces: The model promoted now, against which the verdict was made, or None.
                If another one is promoted by now, nothing changes.
            reason: Why, in words.
            verdict: What the gate found; it must have passed.
            scope: What it is promoted for.
            is_released: It ships with the platform, and was measured before that.

        Raises:
            CatalogueError: If it is not registered in the scope or promoted already, was never
                judged or did not pass, or if another model was promoted meanwhile.
        """
        entry = _Entry(scope, reason, verdict, is_released=is_released)
        with Session(self._database.writer) as session:
            try:
                with session.begin():
                    _swap(session, sha256, replaces, entry)
            except (_ChangedMeanwhileError, IntegrityError) as error:
                raise _changed_meanwhile(session, replaces, scope) from error

    def retire(self, sha256: str, *, reason: str, scope: str = DEFAULT_SCOPE) -> None:
        """Take a candidate or the promoted model out of use; it can be promoted again.

        Raises:
            CatalogueError: If it is neither in the scope.
        """
        entry = _Entry(scope, reason)
        with Session(self._database.writer) as session, session.begin():
            model = _model(session, sha256)
            if not _leave(session, model, entry, "candidate", "promoted"):
                raise CatalogueError(
                    f"{model.name} {model.version} is neither candidate nor promoted in scope "
                    f"{scope!r}.",
                    "It is retired already, or was never registered there.",
                )
            _enter(session, model, "retired", entry)

    def promoted(self, scope: str = DEFAULT_SCOPE) -> ModelStanding | None:
        """The model promoted in a scope now, if any."""
        with Session(self._database.reader) as session:
            return _promoted(session, scope)

    def promotion_changed(self, scope: str) -> datetime.datetime | None:
        """When the model promoted in a scope last changed or was retired; None if it never did."""
        with Session(self._database.reader) as session:
            last = session.scalars(
                select(ModelStage)
                .where(ModelStage.scope == scope, ModelStage.stage == "promoted")
                .order_by(ModelStage.id.desc())
                .limit(1)
            ).first()
            return None if last is None else last.left_at or last.entered_at

    def standings(self) -> tuple[ModelStanding, ...]:
        """What each registered model counts as now in each scope, newest first."""
        with Session(self._database.reader) as session:
            return _standings(session, _stages().where(ModelStage.left_at.is_(None)))

    def without_stage(self) -> tuple[ModelRecord, ...]:
        """Models that are registered in no scope: they made results, or others descend from them.

        Of an ancestor perhaps only the digest is known; its name is empty then.
        """
        with Session(self._database.reader) as session:
            rows = session.scalars(
                select(ModelVersion)
                .where(ModelVersion.id.not_in(select(ModelStage.model_version_id)))
                .order_by(ModelVersion.id.desc())
            )
            return tuple(_record(row) for row in rows)

    def history(self, sha256: str) -> tuple[ModelStanding, ...]:
        """All stages of a model in all scopes, newest first."""
        with Session(self._database.reader) as session:
            return _standings(session, _stages().where(ModelVersion.sha256 == sha256))

    def find(self, text: str) -> str:
        """Digest of the one model whose name, ``name@version`` or start of digest is ``text``.

        Raises:
            CatalogueError: If there is none, or more than one.
        """
        name, _, version = text.partition("@")
        with Session(self._database.reader) as session:
            models = session.scalars(select(ModelVersion).order_by(ModelVersion.id)).all()
        found = [m for m in models if name and m.name == name and version in ("", m.version)]
        if not found and len(text) >= 6:
            found = [m for m in models if m.sha256.startswith(text)]
        if len(found) != 1:
            among = found or models
            listed = ", ".join(_title(m) for m in among) or "none"
            raise CatalogueError(
                f"{len(found)} models of the catalogue are called {text!r}.",
                "Give name@version or the start of the digest, 6 letters or more. "
                f"Known: {listed}.",
            )
        return found[0].sha256

    def get(self, sha256: str) -> ModelRecord:
        """What is known of a model.

        Raises:
            CatalogueError: If there is no such model.
        """
        with Session(self._database.reader) as session:
            return _record(_model(session, sha256))

    def uses(self, sha256: str) -> tuple[ModelUse, ...]:
        """The segmentations a model made, newest first."""
        with Session(self._database.reader) as session:
            rows = session.scalars(
                select(Segmentation)
                .join(Segmentation.model)
                .where(ModelVersion.sha256 == sha256)
                .order_by(Segmentation.finished_at.desc())
            )
            return tuple(
                ModelUse(row.segmentation_id, row.slide.name, row.slide.sha256, row.finished_at)
                for row in rows
            )

    def record_evaluation(self, record: EvaluationRecord) -> None:
        """Record a measurement of a registered model.

        Raises:
            CatalogueError: If the model is not registered.
        """
        with Session(self._database.writer) as session, session.begin():
            session.add(
                EvaluationRow(
                    model_version_id=_model(session, record.model_sha256).id,
                    dataset=record.dataset,
                    dataset_digest=record.dataset_digest,
                    settings_digest=record.settings_digest,
                    summary=record.summary.model_dump(mode="json"),
                    report_path=record.report_path,
                    run_id=self._database.run_id,
                    at=utc_now(),
                )
            )

    def evaluations(self, sha256: str) -> tuple[EvaluationRecord, ...]:
        """All measurements of a model, newest first."""
        with Session(self._database.reader) as session:
            rows = session.scalars(
                select(EvaluationRow)
                .join(EvaluationRow.model)
                .where(ModelVersion.sha256 == sha256)
                .order_by(EvaluationRow.id.desc())
            )
            return tuple(
                EvaluationRecord(
                    model_sha256=sha256,
                    dataset=row.dataset,
                    dataset_digest=row.dataset_digest,
                    settings_digest=row.settings_digest,
                    summary=EvaluationSummary.model_validate(row.summary),
                    report_path=row.report_path,
                )
                for row in rows
            )


def _swap(session: Session, sha256: str, replaces: str | None, entry: _Entry) -> None:
    if replaces is not None:
        replaced = _model(session, replaces)
        if not _leave(session, replaced, entry, "promoted"):
            raise _ChangedMeanwhileError
        because = f"replaced: {entry.reason}"
        _enter(session, replaced, "retired", _Entry(entry.scope, because, None, entry.at))
    model = _model(session, sha256)
    if not _leave(session, model, entry, "candidate", "retired"):
        raise CatalogueError(
            f"{model.name} {model.version} is not a candidate in scope {entry.scope!r}.",
            "It is promoted already, or was never registered there.",
        )
    _check_judged(session, model, entry)
    _enter(session, model, "promoted", entry)


def _promoted(session: Session, scope: str) -> ModelStanding | None:
    """The model promoted in a scope now."""
    found = _standings(
        session,
        _stages().where(
            ModelStage.scope == scope,
            ModelStage.stage == "promoted",
            ModelStage.left_at.is_(None),
        ),
    )
    return found[0] if found else None


def _model(session: Session, sha256: str) -> ModelVersion:
    model = session.scalar(select(ModelVersion).where(ModelVersion.sha256 == sha256))
    if model is None:
        raise CatalogueError(
            f"The catalogue knows no model of digest {sha256[:10]}.", "Register it first."
        )
    return model


def _title(row: ModelVersion) -> str:
    return f"{row.name}@{row.version} ({row.sha256[:10]})" if row.name else row.sha256[:10]


def _record(row: ModelVersion) -> ModelRecord:
    """A row as a value, without descent, which ``descent`` reads."""
    return ModelRecord(row.sha256, row.name, row.version, row.path or "", row.card)


def _enter(session: Session, model: ModelVersion, stage: ModelStageName, entry: _Entry) -> None:
    session.add(
        ModelStage(
            model_version_id=model.id,
            scope=entry.scope,
            stage=stage,
            reason=entry.reason,
            verdict=entry.verdict.model_dump(mode="json") if entry.verdict else None,
            entered_at=entry.at,
        )
    )
    session.flush()


def _leave(session: Session, model: ModelVersion, entry: _Entry, *stages: ModelStageName) -> bool:
    """End the model's current stage if it is one of ``stages``; return whether it was."""
    done = session.execute(
        update(ModelStage)
        .where(
            ModelStage.model_version_id == model.id,
            ModelStage.scope == entry.scope,
            ModelStage.stage.in_(stages),
            ModelStage.left_at.is_(None),
        )
        .values(left_at=entry.at)
    )
    return cast("CursorResult[Any]", done).rowcount == 1


def _check_judged(session: Session, model: ModelVersion, entry: _Entry) -> None:
    if entry.verdict is None and not entry.is_released:
        earlier = select(ModelStage.id).where(
            ModelStage.model_version_id == model.id,
            ModelStage.scope == entry.scope,
            ModelStage.stage == "promoted",
        )
        if session.scalar(earlier.limit(1)) is None:
            raise CatalogueError(
                f"{model.name} {model.version} was never judged for scope {entry.scope!r}.",
                "Evaluate it and let the gate judge; only a model that was promoted before, or "
                "that ships with the platform, may come back without.",
            )
    elif entry.verdict is not None and not entry.verdict.passed:
        raise CatalogueError(
            f"{model.name} {model.version} did not pass the gate: {entry.verdict}",
            "Train a better one, or change the policy and judge again.",
        )


def _changed_meanwhile(session: Session, expected: str | None, scope: str) -> CatalogueError:
    now = _promoted(session, scope)
    return CatalogueError(
        f"Expected {expected[:10] if expected else 'no model'} to be promoted in scope {scope!r}, "
        f"but it is {f'{now.name} {now.version} ({now.sha256[:10]})' if now else 'none'}.",
        "Somebody promoted another model meanwhile: judge against that one.",
    )


def _stages() -> Select[Any]:
    return select(ModelStage).join(ModelStage.model).order_by(ModelStage.id.desc())


def _standings(session: Session, stages: Select[Any]) -> tuple[ModelStanding, ...]:
    rows: Sequence[ModelStage] = session.scalars(stages).all()
    return tuple(
        ModelStanding(
            sha256=row.model.sha256,
            name=row.model.name,
            version=row.model.version,
            path=row.model.path,
            card=row.model.card,
            scope=row.scope,
            stage=cast("ModelStageName", row.stage),
            reason=row.reason,
            verdict=Verdict.model_validate(row.verdict) if row.verdict else None,
            since=row.entered_at,
            until=row.left_at,
        )
        for row in rows
    )
