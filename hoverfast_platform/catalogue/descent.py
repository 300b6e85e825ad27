"""What models descend from: label sets and their licences, training sets, parents, teachers.

It is a graph of rows with foreign keys. The licences of a model are those of everything that is
reached from it, however far.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from hoverfast_platform.catalogue.database import Database
from hoverfast_platform.catalogue.descent_records import (
    Ancestor,
    Ancestry,
    LabelUse,
    ModelRecord,
    TrainingSetRecord,
)
from hoverfast_platform.catalogue.descent_tables import (
    LabelSet,
    ModelDescent,
    ModelLabels,
    ModelTrainingSet,
    TrainingSet,
    TrainingSetLabels,
    Withdrawal,
    WithdrawnItem,
)
from hoverfast_platform.catalogue.rows import utc_now
from hoverfast_platform.catalogue.tables import CohortVersion, ModelVersion
from hoverfast_platform.files import text_sha256


class Descent:
    """All reads and writes about descent; a model's own is written when it is registered."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record_training_set(self, made: TrainingSetRecord) -> None:
        """Note a training set that was made; the same content made again renews its row."""
        with Session(self._database.writer) as session, session.begin():
            row = _training_set(session, made.digest, made.cohort)
            row.name, row.path, row.teacher = made.name, made.path, made.teacher
            row.run_id, row.made_at = self._database.run_id, utc_now()
            session.flush()
            for label in made.labels:
                _link(
                    session,
                    TrainingSetLabels(
                        training_set_id=row.id, label_set_id=_label_set(session, label).id
                    ),
                )

    def ancestors(self, sha256: str) -> tuple[Ancestor, ...]:
        """All models that a model descends from, the nearest first."""
        with Session(self._database.reader) as session:
            return tuple(
                Ancestor(row.sha256, row.name, row.version, how, steps)
                for row, how, steps in walk(session, sha256)
            )

    def ancestry(self, sha256: str) -> Ancestry:
        """What a model descends from, in one value, as the gate asks for it."""
        ancestors = self.ancestors(sha256)
        unknown = tuple(model.sha256 for model in ancestors if not model.name)
        with Session(self._database.reader) as session:
            withdrawn = session.execute(
                select(Withdrawal.kind, Withdrawal.subject)
                .join(WithdrawnItem, WithdrawnItem.withdrawal_id == Withdrawal.id)
                .join(ModelVersion, ModelVersion.id == WithdrawnItem.model_version_id)
                .where(ModelVersion.sha256.in_([sha256, *(model.sha256 for model in ancestors)]))
                .group_by(Withdrawal.id, Withdrawal.kind, Withdrawal.subject)
                .order_by(Withdrawal.id)
            ).all()
        return Ancestry(
            self.labels(sha256), unknown, tuple(f"{kind} {subject}" for kind, subject in withdrawn)
        )

    def labels(self, sha256: str) -> tuple[LabelUse, ...]:
        """All label sets that a model learned from, itself or through its ancestors, each once."""
        with Session(self._database.reader) as session:
            model = session.scalar(select(ModelVersion).where(ModelVersion.sha256 == sha256))
            if model is None:
                return ()
            found: dict[int, LabelUse] = {}
            for row in (model, *(ancestor for ancestor, _, _ in walk(session, sha256))):
                uses = session.scalars(
                    select(ModelLabels)
                    .where(ModelLabels.model_version_id == row.id)
                    .order_by(ModelLabels.id)
                )
                for use in uses:
                    found.setdefault(
                        use.label_set_id,
                        LabelUse(
                            name=use.label_set.name,
                            licence=use.label_set.licence,
                            citation=use.label_set.citation,
                            n_images=use.n_images,
                            n_nuclei=use.n_nuclei,
                            is_inherited=use.is_inherited or row is not model,
                        ),
                    )
            return tuple(found.values())

    def training_sets(self, sha256: str) -> tuple[TrainingSetRecord, ...]:
        """The training sets that a model itself learned from."""
        with Session(self._database.reader) as session:
            rows = session.scalars(
                select(TrainingSet)
                .join(ModelTrainingSet, ModelTrainingSet.training_set_id == TrainingSet.id)
                .join(ModelVersion, ModelVersion.id == ModelTrainingSet.model_version_id)
                .where(ModelVersion.sha256 == sha256)
                .order_by(ModelTrainingSet.id)
            )
            return tuple(
                TrainingSetRecord(
                    digest=row.digest,
                    name=row.name,
                    path=row.path or "",
                    teacher=row.teacher,
                    cohort=f"{row.cohort_version.name} v{row.cohort_version.version}"
                    if row.cohort_version
                    else "",
                    labels=_labels_of(session, row),
                )
                for row in rows
            )


def walk(session: Session, sha256: str) -> list[tuple[ModelVersion, str, int]]:
    """Ancestors of a model, nearest first, with their relation and their distance in steps."""
    found: dict[int, tuple[ModelVersion, str, int]] = {}
    front = list(session.scalars(select(ModelVersion.id).where(ModelVersion.sha256 == sha256)))
    seen, steps = set(front), 0
    while front:
        steps += 1
        arrows = session.scalars(
            select(ModelDescent)
            .where(ModelDescent.model_version_id.in_(front))
            .order_by(ModelDescent.id)
        ).all()
        front = []
        for arrow in arrows:
            if arrow.ancestor_id not in seen:
                seen.add(arrow.ancestor_id)
                front.append(arrow.ancestor_id)
                found[arrow.ancestor_id] = (arrow.ancestor, arrow.how, steps)
    return list(found.values())


def find_or_add_model(session: Session, record: ModelRecord, run_id: str) -> ModelVersion:
    """Find or make a model's row; a known one keeps its name, and its path if the file exists."""
    row = session.scalar(select(ModelVersion).where(ModelVersion.sha256 == record.sha256))
    if row is None:
        row = ModelVersion(sha256=record.sha256, name="", path=None)
    if not row.name:  # new, or only known as somebody's ancestor until now
        row.name, row.version = record.name, _free_version(session, record)
        row.card, row.run_id = record.card, run_id
        session.add(row)
    if record.path and not (row.path and Path(row.path).exists()):
        row.path = record.path
    session.flush()
    _note_descent(session, row, record)
    return row


def _free_version(session: Session, record: ModelRecord) -> str:
    """The model's version, with the digest's start if another one has this name and version."""
    taken = session.scalar(
        select(ModelVersion.id).where(
            ModelVersion.name == record.name, ModelVersion.version == record.version
        )
    )
    return record.version if taken is None else f"{record.version}-{record.sha256[:10]}"


def _note_descent(session: Session, model: ModelVersion, record: ModelRecord) -> None:
    """Add what is not known yet: a model is recorded again with every slide that it segmented."""
    of_labels = select(LabelSet.digest).join(ModelLabels)
    known = set(session.scalars(of_labels.where(ModelLabels.model_version_id == model.id)))
    for label in record.labels:
        if _label_digest(label) not in known:
            _link(
                session,
                ModelLabels(
                    model_version_id=model.id,
                    label_set_id=_label_set(session, label).id,
                    n_images=label.n_images,
                    n_nuclei=label.n_nuclei,
                    is_inherited=label.is_inherited,
                ),
            )
    known = _training_sets_known(session, model, record.cohort)
    for digest in record.training_sets:
        if digest not in known:
            row = _training_set(session, digest, record.cohort)
            _link(session, ModelTrainingSet(model_version_id=model.id, training_set_id=row.id))
    for how, ancestors in (("parent", record.parents), ("teacher", record.teachers)):
        for sha256 in ancestors:
            ancestor = _known_by_digest(session, sha256)
            _link(
                session,
                ModelDescent(model_version_id=model.id, ancestor_id=ancestor.id, how=how),
            )


def _training_sets_known(session: Session, model: ModelVersion, cohort: str) -> set[str]:
    """Digests of the model's training sets of which nothing new can be said."""
    found = (
        select(TrainingSet.digest)
        .join(ModelTrainingSet)
        .where(ModelTrainingSet.model_version_id == model.id)
    )
    if _cohort_version(session, cohort) is not None:
        found = found.where(TrainingSet.cohort_version_id.is_not(None))
    return set(session.scalars(found))


def _link(
    session: Session, row: TrainingSetLabels | ModelLabels | ModelTrainingSet | ModelDescent
) -> None:
    """Add an arrow that is not there yet."""
    table = type(row)
    keys = [
        column for column in table.__table__.columns if column.foreign_keys or column.name == "how"
    ]
    same = [column == getattr(row, column.name) for column in keys]
    if session.scalar(select(table.id).where(*same)) is None:
        session.add(row)
        session.flush()


def _known_by_digest(session: Session, sha256: str) -> ModelVersion:
    row = session.scalar(select(ModelVersion).where(ModelVersion.sha256 == sha256))
    if row is None:
        row = ModelVersion(sha256=sha256, name="", version=sha256, card={}, path=None, run_id="")
        session.add(row)
        session.flush()
    return row


def _label_digest(label: LabelUse) -> str:
    return text_sha256(json.dumps([label.name, label.licence, label.citation]))


def _label_set(session: Session, label: LabelUse) -> LabelSet:
    digest = _label_digest(label)
    row = session.scalar(select(LabelSet).where(LabelSet.digest == digest))
    if row is None:
        row = LabelSet(
            digest=digest, name=label.name, licence=label.licence, citation=label.citation
        )
        session.add(row)
        session.flush()
    return row


def _training_set(session: Session, digest: str, cohort: str) -> TrainingSet:
    row = session.scalar(select(TrainingSet).where(TrainingSet.digest == digest))
    if row is None:
        row = TrainingSet(digest=digest, name="", path=None, teacher="", run_id="", made_at=None)
        session.add(row)
    if row.cohort_version_id is None:
        row.cohort_version_id = _cohort_version(session, cohort)
    session.flush()
    return row


def _cohort_version(session: Session, cohort: str) -> int | None:
    """The version of a cohort as cards write it, ``breast v2``."""
    found = re.fullmatch(r"(.+) v([0-9]+)", cohort)
    if found is None:
        return None
    return session.scalar(
        select(CohortVersion.id).where(
            CohortVersion.name == found[1], CohortVersion.version == int(found[2])
        )
    )


def _labels_of(session: Session, training_set: TrainingSet) -> tuple[LabelUse, ...]:
    rows: Sequence[LabelSet] = session.scalars(
        select(LabelSet)
        .join(TrainingSetLabels, TrainingSetLabels.label_set_id == LabelSet.id)
        .where(TrainingSetLabels.training_set_id == training_set.id)
        .order_by(LabelSet.id)
    ).all()
    return tuple(LabelUse(row.name, row.licence, row.citation) for row in rows)
