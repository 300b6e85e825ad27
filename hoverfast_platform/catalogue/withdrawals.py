"""What must not be used any more: slides, labels and patients, and all that was made of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, TypeAlias, get_args

from sqlalchemy import delete, or_, select, update
from sqlalchemy.orm import Session

from hoverfast_platform.catalogue.database import Database
from hoverfast_platform.catalogue.descent_records import Reached, WithdrawalRecord
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
from hoverfast_platform.catalogue.tables import (
    CohortMember,
    CurrentResult,
    EvaluationRow,
    Mask,
    ModelVersion,
    ResultFile,
    Segmentation,
    Slide,
    SlideAppearance,
    SlidePath,
)
from hoverfast_platform.errors import CatalogueError

WithdrawnKind: TypeAlias = Literal["slide", "labels", "patient"]
WITHDRAWN_KINDS: tuple[str, ...] = get_args(WithdrawnKind)


class Withdrawals:
    """All reads and writes about withdrawals."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def reach(self, kind: WithdrawnKind, subject: str) -> tuple[Reached, ...]:
        """The subject of a withdrawal and everything that was made of it; nothing is changed.

        Args:
            kind: What is to be withdrawn.
            subject: A slide's key, name, path or digest; a label set's name; a patient of cohorts.

        Raises:
            CatalogueError: If nothing is called that.
        """
        with Session(self._database.reader) as session:
            if kind == "labels":
                found = _of_labels(session, subject)
            else:
                found = _of_slides(session, _slides(session, kind, subject))
        if not found:
            raise CatalogueError(
                f"The catalogue knows no {kind} called {subject!r}.",
                "Slides go by key, name, path or digest, labels by the name of their set, patients "
                "by what the patient_pattern of a cohort finds.",
            )
        return tuple(found)

    def record(
        self,
        kind: WithdrawnKind,
        subject: str,
        reached: Sequence[Reached],
        *,
        reason: str,
        removed: Iterable[str],
    ) -> None:
        """Record a withdrawal: what it reaches, and which files were removed.

        Its slides have no result any more and nothing uses them. The catalogue keeps the fact that
        the removed files existed.

        Args:
            kind: What is withdrawn.
            subject: Its name.
            reached: What :meth:`reach` found.
            reason: Why, in words.
            removed: Paths of the files that were removed.
        """
        at, gone = utc_now(), set(removed)
        with Session(self._database.writer) as session, session.begin():
            withdrawal = Withdrawal(
                kind=kind, subject=subject, reason=reason, run_id=self._database.run_id, at=at
            )
            session.add(withdrawal)
            session.flush()
            for item in reached:
                session.add(
                    WithdrawnItem(
                        withdrawal_id=withdrawal.id,
                        kind=item.kind,
                        what=item.what,
                        path=item.path,
                        slide_id=item.slide_id,
                        label_set_id=item.label_set_id,
                        training_set_id=item.training_set_id,
                        model_version_id=item.model_version_id,
                        removed_at=at if item.path in gone else None,
                    )
                )
            slides = [i.slide_id for i in reached if i.kind == "slide" and i.slide_id is not None]
            session.execute(
                update(CurrentResult)
                .where(CurrentResult.slide_id.in_(slides), CurrentResult.until.is_(None))
                .values(until=at)
            )
            session.execute(delete(SlideAppearance).where(SlideAppearance.slide_id.in_(slides)))
            session.execute(delete(ResultFile).where(ResultFile.path.in_(gone)))
            for table in (Mask, TrainingSet):
                session.execute(update(table).where(table.path.in_(gone)).values(path=None))

    def all(self) -> tuple[WithdrawalRecord, ...]:
        """All withdrawals, newest first."""
        with Session(self._database.reader) as session:
            rows = session.scalars(select(Withdrawal).order_by(Withdrawal.id.desc())).all()
            return tuple(
                WithdrawalRecord(
                    *(row.kind, row.subject, row.reason, row.at),
                    n_reached=len(items),
                    n_removed=sum(item.removed_at is not None for item in items),
                )
                for row in rows
                for items in [
                    session.scalars(
                        select(WithdrawnItem).where(WithdrawnItem.withdrawal_id == row.id)
                    ).all()
                ]
            )


def _slides(session: Session, kind: WithdrawnKind, subject: str) -> list[Slide]:
    if kind == "patient":
        members = select(CohortMember.slide_id).where(CohortMember.patient == subject)
        query = select(Slide).where(Slide.id.in_(members))
    else:
        seen = select(SlidePath.slide_id).where(SlidePath.path == subject)
        names = (Slide.key == subject, Slide.name == subject, Slide.sha256 == subject)
        query = select(Slide).where(or_(*names, Slide.id.in_(seen)))
    return list(session.scalars(query.order_by(Slide.id)))


def _of_slides(session: Session, slides: Sequence[Slide]) -> list[Reached]:
    ids = [slide.id for slide in slides]
    found = [Reached("slide", slide.key, None, slide_id=slide.id) for slide in slides]
    for mask in session.scalars(select(Mask).where(Mask.slide_id.in_(ids), Mask.path.is_not(None))):
        found.append(Reached("mask", mask.engine, mask.path, slide_id=mask.slide_id))
    files = session.execute(
        select(ResultFile.path, Segmentation.slide_id, Segmentation.segmentation_id)
        .join(Segmentation, Segmentation.id == ResultFile.segmentation_row_id)
        .where(Segmentation.slide_id.in_(ids))
        .order_by(ResultFile.id)
    ).all()
    found += [Reached("result", identity, path, slide_id=slide) for path, slide, identity in files]
    versions = select(CohortMember.cohort_version_id).where(CohortMember.slide_id.in_(ids))
    sets = session.scalars(
        select(TrainingSet).where(TrainingSet.cohort_version_id.in_(versions))
    ).all()
    return found + _of_training_sets(session, sets)


def _of_labels(session: Session, name: str) -> list[Reached]:
    labels = session.scalars(select(LabelSet).where(LabelSet.name == name)).all()
    ids = [row.id for row in labels]
    found = [
        Reached("labels", f"{row.name} ({row.licence})", None, label_set_id=row.id)
        for row in labels
    ]
    held = select(TrainingSetLabels.training_set_id).where(TrainingSetLabels.label_set_id.in_(ids))
    sets = session.scalars(select(TrainingSet).where(TrainingSet.id.in_(held))).all()
    taught = session.scalars(
        select(ModelLabels.model_version_id).where(ModelLabels.label_set_id.in_(ids))
    ).all()
    return found + _of_training_sets(session, sets, taught) if found else []


def _of_training_sets(
    session: Session, sets: Sequence[TrainingSet], models: Sequence[int] = ()
) -> list[Reached]:
    """What was made of training sets: reports with pictures, and models that learned from them."""
    found = [
        Reached("training set", row.name or row.digest[:10], row.path, training_set_id=row.id)
        for row in sets
    ]
    reports = session.scalars(
        select(EvaluationRow.report_path)
        .where(EvaluationRow.dataset_digest.in_([row.digest for row in sets]))
        .distinct()
    )
    found += [Reached("report", "pictures of an evaluation", path) for path in reports]
    trained = session.scalars(
        select(ModelTrainingSet.model_version_id).where(
            ModelTrainingSet.training_set_id.in_([row.id for row in sets])
        )
    )
    ids = _with_descendants(session, {*models, *trained})
    for model in session.scalars(
        select(ModelVersion).where(ModelVersion.id.in_(ids)).order_by(ModelVersion.id)
    ):
        title = f"{model.name} {model.version}" if model.name else model.sha256[:10]
        found.append(
            Reached("model", title, None, model_version_id=model.id, model_sha256=model.sha256)
        )
    return found


def _with_descendants(session: Session, models: set[int]) -> set[int]:
    found, front = set(models), set(models)
    while front:
        children = session.scalars(
            select(ModelDescent.model_version_id).where(ModelDescent.ancestor_id.in_(front))
        )
        front = set(children) - found
        found |= front
    return found
