"""The tables of descent: whose labels, through which models, and what was withdrawn.

Each arrow of the graph is a row with two foreign keys, so that SQL alone can walk it.
"""

from __future__ import annotations

import datetime

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from hoverfast_platform.catalogue.tables import Base, CohortVersion, ModelVersion


class LabelSet(Base):
    """Labels that somebody owns, under a licence; one row per name, licence and citation."""

    __tablename__ = "label_sets"

    id: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    licence: Mapped[str]
    citation: Mapped[str]


class TrainingSet(Base):
    """Images with labels that models learn from, one row per content."""

    __tablename__ = "training_sets"

    id: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    path: Mapped[str | None]
    teacher: Mapped[str]
    cohort_version_id: Mapped[int | None] = mapped_column(
        ForeignKey("cohort_versions.id"), index=True
    )
    run_id: Mapped[str]
    made_at: Mapped[datetime.datetime | None]

    cohort_version: Mapped[CohortVersion | None] = relationship()


class TrainingSetLabels(Base):
    """A label set that a training set holds labels of."""

    __tablename__ = "training_set_labels"
    __table_args__ = (UniqueConstraint("training_set_id", "label_set_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    training_set_id: Mapped[int] = mapped_column(ForeignKey("training_sets.id"), index=True)
    label_set_id: Mapped[int] = mapped_column(ForeignKey("label_sets.id"), index=True)


class ModelTrainingSet(Base):
    """A training set that a model learned from."""

    __tablename__ = "model_training_sets"
    __table_args__ = (UniqueConstraint("model_version_id", "training_set_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    model_version_id: Mapped[int] = mapped_column(ForeignKey("model_versions.id"), index=True)
    training_set_id: Mapped[int] = mapped_column(ForeignKey("training_sets.id"), index=True)

    training_set: Mapped[TrainingSet] = relationship()


class ModelLabels(Base):
    """A label set that a model learned from, itself or through a model it descends from."""

    __tablename__ = "model_labels"
    __table_args__ = (UniqueConstraint("model_version_id", "label_set_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    model_version_id: Mapped[int] = mapped_column(ForeignKey("model_versions.id"), index=True)
    label_set_id: Mapped[int] = mapped_column(ForeignKey("label_sets.id"), index=True)
    n_images: Mapped[int]
    n_nuclei: Mapped[int]
    is_inherited: Mapped[bool]

    label_set: Mapped[LabelSet] = relationship()


class ModelDescent(Base):
    """A model that another one came from: its ``parent``, or its ``teacher``."""

    __tablename__ = "model_descent"
    __table_args__ = (UniqueConstraint("model_version_id", "ancestor_id", "how"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    model_version_id: Mapped[int] = mapped_column(ForeignKey("model_versions.id"), index=True)
    ancestor_id: Mapped[int] = mapped_column(ForeignKey("model_versions.id"), index=True)
    how: Mapped[str]

    ancestor: Mapped[ModelVersion] = relationship(foreign_keys=[ancestor_id])


class Withdrawal(Base):
    """A slide, a label set or a patient that must not be used any more, and why."""

    __tablename__ = "withdrawals"

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    subject: Mapped[str]
    reason: Mapped[str]
    run_id: Mapped[str]
    at: Mapped[datetime.datetime]


class WithdrawnItem(Base):
    """What a withdrawal reaches; the fact that it was removed stays when it is gone."""

    __tablename__ = "withdrawn_items"

    id: Mapped[int] = mapped_column(primary_key=True)
    withdrawal_id: Mapped[int] = mapped_column(ForeignKey("withdrawals.id"), index=True)
    kind: Mapped[str]
    what: Mapped[str]
    path: Mapped[str | None]
    slide_id: Mapped[int | None] = mapped_column(ForeignKey("slides.id"), index=True)
    label_set_id: Mapped[int | None] = mapped_column(ForeignKey("label_sets.id"), index=True)
    training_set_id: Mapped[int | None] = mapped_column(ForeignKey("training_sets.id"), index=True)
    model_version_id: Mapped[int | None] = mapped_column(
        ForeignKey("model_versions.id"), index=True
    )
    removed_at: Mapped[datetime.datetime | None]

    withdrawal: Mapped[Withdrawal] = relationship()
