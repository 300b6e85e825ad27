"""The tables. Changing one needs a migration; a test compares the two."""

from __future__ import annotations

import datetime
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    MetaData,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class AnyText(TypeDecorator[str]):
    """Text of any length; NUL, as damaged files have it, is replaced: PostgreSQL takes none."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else value.replace("\0", "\N{REPLACEMENT CHARACTER}")


class UtcDateTime(TypeDecorator[datetime.datetime]):
    """A moment, always in UTC. SQLite forgets the zone, and PostgreSQL returns the session's."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(
        self, value: datetime.datetime | None, dialect: Dialect
    ) -> datetime.datetime | None:
        return None if value is None else value.astimezone(datetime.UTC)

    def process_result_value(
        self, value: datetime.datetime | None, dialect: Dialect
    ) -> datetime.datetime | None:
        if value is None:
            return None
        known = value.replace(tzinfo=datetime.UTC) if value.tzinfo is None else value
        return known.astimezone(datetime.UTC)


class Base(DeclarativeBase):
    """Names every constraint, so that migrations can refer to it on any database."""

    type_annotation_map: ClassVar[dict[Any, Any]] = {
        str: AnyText,
        datetime.datetime: UtcDateTime,
        dict[str, Any]: JSON(none_as_null=True),
    }
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Slide(Base):
    """A slide, one row per content."""

    __tablename__ = "slides"

    id: Mapped[int] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(unique=True)
    key: Mapped[str] = mapped_column(unique=True)
    display_name: Mapped[str]
    """The stem of its result files for ever: the one that it had when it was first seen."""
    name: Mapped[str]
    path: Mapped[str]
    vendor: Mapped[str]
    width_px: Mapped[int]
    height_px: Mapped[int]
    mpp_x: Mapped[float]
    mpp_y: Mapped[float]
    mpp_source: Mapped[str]
    first_seen: Mapped[datetime.datetime]


class SlidePath(Base):
    """A path under which a slide was seen: renames and copies are rows of their own."""

    __tablename__ = "slide_paths"

    id: Mapped[int] = mapped_column(primary_key=True)
    slide_id: Mapped[int] = mapped_column(ForeignKey("slides.id"), index=True)
    path: Mapped[str]
    first_seen: Mapped[datetime.datetime]


class WatchedFile(Base):
    """A slide file in a watched folder; see ``catalogue.watched_files``."""

    __tablename__ = "watched_files"

    id: Mapped[int] = mapped_column(primary_key=True)
    root: Mapped[str] = mapped_column(index=True)
    path: Mapped[str] = mapped_column(unique=True)
    signature: Mapped[str]
    state: Mapped[str] = mapped_column(index=True)
    unchanged_since: Mapped[datetime.datetime]
    updated_at: Mapped[datetime.datetime]
    slide_id: Mapped[int | None] = mapped_column(ForeignKey("slides.id"), index=True)
    mpp_override: Mapped[float | None]
    kind: Mapped[str | None]
    message: Mapped[str | None]
    remedy: Mapped[str | None]


class Mask(Base):
    """A tissue mask, one row per slide and content."""

    __tablename__ = "masks"

    id: Mapped[int] = mapped_column(primary_key=True)
    slide_id: Mapped[int] = mapped_column(ForeignKey("slides.id"), index=True)
    sha256: Mapped[str] = mapped_column(index=True)
    engine: Mapped[str]
    tissue_area_mm2: Mapped[float]
    path: Mapped[str | None]
    record: Mapped[dict[str, Any] | None]
    made_at: Mapped[datetime.datetime | None]
    run_id: Mapped[str]


class ModelVersion(Base):
    """A model, one row per weights file; its name and version never change.

    A model that is only known as an ancestor has an empty name and its digest as the version.
    """

    __tablename__ = "model_versions"
    id: Mapped[int] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    version: Mapped[str]
    card: Mapped[dict[str, Any]]
    path: Mapped[str | None]
    run_id: Mapped[str]


Index("uq_model_versions_name", ModelVersion.name, ModelVersion.version, unique=True)


class ModelStage(Base):
    """A period in which a model version was candidate, promoted or retired in a scope.

    ``left_at`` is NULL in the current one; the others are the history. The database itself
    lets one model be promoted per scope, and one period be current per model and scope.
    """

    __tablename__ = "model_stages"

    id: Mapped[int] = mapped_column(primary_key=True)
    model_version_id: Mapped[int] = mapped_column(ForeignKey("model_versions.id"))
    scope: Mapped[str]
    stage: Mapped[str]
    reason: Mapped[str]
    verdict: Mapped[dict[str, Any] | None]
    entered_at: Mapped[datetime.datetime]
    left_at: Mapped[datetime.datetime | None]

    model: Mapped[ModelVersion] = relationship()


Index(
    "uq_model_stages_current",
    ModelStage.model_version_id,
    ModelStage.scope,
    unique=True,
    sqlite_where=text("left_at IS NULL"),
    postgresql_where=text("left_at IS NULL"),
)
Index(
    "uq_model_stages_promoted",
    ModelStage.scope,
    unique=True,
    sqlite_where=text("stage = 'promoted' AND left_at IS NULL"),
    postgresql_where=text("stage = 'promoted' AND left_at IS NULL"),
)


class EvaluationRow(Base):
    """A measurement of a model version on a labelled dataset."""

    __tablename__ = "evaluations"

    id: Mapped[int] = mapped_column(primary_key=True)
    model_version_id: Mapped[int] = mapped_column(ForeignKey("model_versions.id"), index=True)
    dataset: Mapped[str]
    dataset_digest: Mapped[str]
    settings_digest: Mapped[str]
    summary: Mapped[dict[str, Any]]
    report_path: Mapped[str]
    run_id: Mapped[str]
    at: Mapped[datetime.datetime]

    model: Mapped[ModelVersion] = relationship()


class Segmentation(Base):
    """A finished segmentation."""

    __tablename__ = "segmentations"

    id: Mapped[int] = mapped_column(primary_key=True)
    segmentation_id: Mapped[str] = mapped_column(unique=True)
    slide_id: Mapped[int] = mapped_column(ForeignKey("slides.id"), index=True)
    mask_id: Mapped[int] = mapped_column(ForeignKey("masks.id"))
    model_version_id: Mapped[int] = mapped_column(ForeignKey("model_versions.id"))
    provenance: Mapped[dict[str, Any]]
    run_id: Mapped[str]
    n_nuclei: Mapped[int]
    seconds_per_mm2: Mapped[float | None]
    finished_at: Mapped[datetime.datetime]
    found_again_at: Mapped[datetime.datetime | None]

    slide: Mapped[Slide] = relationship()
    mask: Mapped[Mask] = relationship()
    model: Mapped[ModelVersion] = relationship()
    files: Mapped[list[ResultFile]] = relationship(cascade="all, delete-orphan")


class CurrentResult(Base):
    """A period in which a segmentation was a slide's result.

    ``until`` is NULL in the current one; the others are the history. The database itself lets
    one be current per slide, staining and settings.
    """

    __tablename__ = "current_results"

    id: Mapped[int] = mapped_column(primary_key=True)
    slide_id: Mapped[int] = mapped_column(ForeignKey("slides.id"), index=True)
    segmentation_row_id: Mapped[int] = mapped_column(ForeignKey("segmentations.id"), index=True)
    staining: Mapped[str]
    settings_digest: Mapped[str]
    scope: Mapped[str]
    """The scope whose model was asked to make it."""
    since: Mapped[datetime.datetime]
    until: Mapped[datetime.datetime | None]

    slide: Mapped[Slide] = relationship()
    segmentation: Mapped[Segmentation] = relationship()


Index(
    "uq_current_results_current",
    CurrentResult.slide_id,
    CurrentResult.staining,
    CurrentResult.settings_digest,
    unique=True,
    sqlite_where=text("until IS NULL"),
    postgresql_where=text("until IS NULL"),
)


class ResultFile(Base):
    """A published file of a segmentation."""

    __tablename__ = "result_files"

    id: Mapped[int] = mapped_column(primary_key=True)
    segmentation_row_id: Mapped[int] = mapped_column(ForeignKey("segmentations.id"), index=True)
    path: Mapped[str]
    sha256: Mapped[str] = mapped_column(index=True)


class SlideAppearance(Base):
    """What a slide looks like in numbers; the newest, one row per slide."""

    __tablename__ = "slide_appearances"

    id: Mapped[int] = mapped_column(primary_key=True)
    slide_id: Mapped[int] = mapped_column(ForeignKey("slides.id"), unique=True)
    hematoxylin: Mapped[float]
    eosin: Mapped[float]
    nuclei_per_mm2: Mapped[float]
    at: Mapped[datetime.datetime]


class Failure(Base):
    """A slide or a step of learning that failed; the history stays when it succeeds later."""

    __tablename__ = "failures"

    id: Mapped[int] = mapped_column(primary_key=True)
    path: Mapped[str]
    kind: Mapped[str]
    message: Mapped[str]
    remedy: Mapped[str]
    run_id: Mapped[str]
    at: Mapped[datetime.datetime]
    slide_id: Mapped[int | None] = mapped_column(ForeignKey("slides.id"), index=True)
    cohort: Mapped[str | None]
    step: Mapped[str]


class CohortVersion(Base):
    """A cohort as it was when its members or their labels changed."""

    __tablename__ = "cohort_versions"
    __table_args__ = (UniqueConstraint("name", "version"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    version: Mapped[int]
    digest: Mapped[str]
    plan: Mapped[dict[str, Any]]
    warnings: Mapped[str]
    run_id: Mapped[str]
    created_at: Mapped[datetime.datetime]
    members: Mapped[list[CohortMember]] = relationship(order_by="CohortMember.id")


class CohortMember(Base):
    """A slide of a cohort version, and its patient."""

    __tablename__ = "cohort_members"

    id: Mapped[int] = mapped_column(primary_key=True)
    cohort_version_id: Mapped[int] = mapped_column(ForeignKey("cohort_versions.id"), index=True)
    slide_id: Mapped[int] = mapped_column(ForeignKey("slides.id"), index=True)
    patient: Mapped[str]
    slide: Mapped[Slide] = relationship()
