"""The tables. Changing one needs a migration; a test compares the two."""

from __future__ import annotations

import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Base(DeclarativeBase):
    """Names every constraint, so that migrations can refer to it on any database."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class UtcDateTime(TypeDecorator[datetime.datetime]):
    """A moment, always in UTC: SQLite forgets the zone, PostgreSQL gives the session's."""

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


class Slide(Base):
    """A slide, one row per content."""

    __tablename__ = "slides"

    id: Mapped[int] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    key: Mapped[str] = mapped_column(String(200), unique=True)
    name: Mapped[str] = mapped_column(Text)
    path: Mapped[str] = mapped_column(Text)
    vendor: Mapped[str] = mapped_column(String(40))
    width_px: Mapped[int]
    height_px: Mapped[int]
    mpp_x: Mapped[float]
    mpp_y: Mapped[float]
    mpp_source: Mapped[str] = mapped_column(String(20))
    first_seen: Mapped[datetime.datetime] = mapped_column(UtcDateTime)


class SlidePath(Base):
    """Every path a slide was seen under: renames and copies."""

    __tablename__ = "slide_paths"

    id: Mapped[int] = mapped_column(primary_key=True)
    slide_id: Mapped[int] = mapped_column(ForeignKey("slides.id"))
    path: Mapped[str] = mapped_column(Text)
    first_seen: Mapped[datetime.datetime] = mapped_column(UtcDateTime)


class WatchedFile(Base):
    """A slide file in a watched folder; see ``catalogue.watched_files``."""

    __tablename__ = "watched_files"

    id: Mapped[int] = mapped_column(primary_key=True)
    root: Mapped[str] = mapped_column(Text, index=True)
    path: Mapped[str] = mapped_column(Text, unique=True)
    signature: Mapped[str] = mapped_column(String(100))
    state: Mapped[str] = mapped_column(String(20), index=True)
    unchanged_since: Mapped[datetime.datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime.datetime] = mapped_column(UtcDateTime)
    slide_id: Mapped[int | None] = mapped_column(ForeignKey("slides.id"), index=True)
    mpp_override: Mapped[float | None]
    kind: Mapped[str | None] = mapped_column(String(40))
    message: Mapped[str | None] = mapped_column(Text)
    remedy: Mapped[str | None] = mapped_column(Text)


class Mask(Base):
    """A tissue mask, one row per slide and content."""

    __tablename__ = "masks"

    id: Mapped[int] = mapped_column(primary_key=True)
    slide_id: Mapped[int] = mapped_column(ForeignKey("slides.id"))
    sha256: Mapped[str] = mapped_column(String(64), index=True)
    engine: Mapped[str] = mapped_column(String(20))
    tissue_area_mm2: Mapped[float]
    path: Mapped[str | None] = mapped_column(Text)
    record: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    made_at: Mapped[datetime.datetime | None] = mapped_column(DateTime(timezone=True))


class ModelVersion(Base):
    """A model, one row per weights file."""

    __tablename__ = "model_versions"

    id: Mapped[int] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str] = mapped_column(String(200))
    version: Mapped[str] = mapped_column(String(100))
    card: Mapped[dict[str, Any]] = mapped_column(JSON)
    path: Mapped[str | None] = mapped_column(Text)


class ModelStage(Base):
    """A period in which a model version was candidate, promoted or retired in a scope.

    ``left_at`` is NULL in the current one; the others are the history. The database itself
    lets one model be promoted per scope, and one period be current per model and scope.
    """

    __tablename__ = "model_stages"

    id: Mapped[int] = mapped_column(primary_key=True)
    model_version_id: Mapped[int] = mapped_column(ForeignKey("model_versions.id"))
    scope: Mapped[str] = mapped_column(String(200))
    stage: Mapped[str] = mapped_column(String(20))
    reason: Mapped[str] = mapped_column(Text)
    verdict: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    entered_at: Mapped[datetime.datetime] = mapped_column(UtcDateTime)
    left_at: Mapped[datetime.datetime | None] = mapped_column(UtcDateTime)

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


class Evaluation(Base):
    """A measurement of a model version on a labelled dataset."""

    __tablename__ = "evaluations"

    id: Mapped[int] = mapped_column(primary_key=True)
    model_version_id: Mapped[int] = mapped_column(ForeignKey("model_versions.id"), index=True)
    dataset: Mapped[str] = mapped_column(Text)
    dataset_digest: Mapped[str] = mapped_column(String(64))
    settings_digest: Mapped[str] = mapped_column(String(64))
    summary: Mapped[dict[str, Any]] = mapped_column(JSON)
    report_path: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime.datetime] = mapped_column(UtcDateTime)

    model: Mapped[ModelVersion] = relationship()


class Segmentation(Base):
    """A finished segmentation."""

    __tablename__ = "segmentations"

    id: Mapped[int] = mapped_column(primary_key=True)
    segmentation_id: Mapped[str] = mapped_column(String(64), unique=True)
    slide_id: Mapped[int] = mapped_column(ForeignKey("slides.id"), index=True)
    mask_id: Mapped[int] = mapped_column(ForeignKey("masks.id"))
    model_version_id: Mapped[int] = mapped_column(ForeignKey("model_versions.id"))
    settings: Mapped[dict[str, Any]] = mapped_column(JSON)
    code_version: Mapped[str] = mapped_column(String(40))
    device: Mapped[str] = mapped_column(String(40))
    backend: Mapped[str] = mapped_column(String(40))
    precision: Mapped[str] = mapped_column(String(10))
    run_id: Mapped[str] = mapped_column(String(100))
    n_nuclei: Mapped[int]
    seconds_per_mm2: Mapped[float | None]
    finished_at: Mapped[datetime.datetime] = mapped_column(UtcDateTime)

    slide: Mapped[Slide] = relationship()
    mask: Mapped[Mask] = relationship()
    model: Mapped[ModelVersion] = relationship()
    files: Mapped[list[ResultFile]] = relationship(cascade="all, delete-orphan")


class ResultFile(Base):
    """A published file of a segmentation."""

    __tablename__ = "result_files"

    id: Mapped[int] = mapped_column(primary_key=True)
    segmentation_row_id: Mapped[int] = mapped_column(ForeignKey("segmentations.id"), index=True)
    path: Mapped[str] = mapped_column(Text)
    sha256: Mapped[str] = mapped_column(String(64), index=True)


class SlideAppearance(Base):
    """What a slide looks like in numbers; the newest, one row per slide."""

    __tablename__ = "slide_appearances"

    id: Mapped[int] = mapped_column(primary_key=True)
    slide_id: Mapped[int] = mapped_column(ForeignKey("slides.id"), unique=True)
    haematoxylin: Mapped[float]
    eosin: Mapped[float]
    nuclei_per_mm2: Mapped[float]
    at: Mapped[datetime.datetime] = mapped_column(DateTime(timezone=True))


class Failure(Base):
    """A slide that failed; the history stays when it succeeds later."""

    __tablename__ = "failures"

    id: Mapped[int] = mapped_column(primary_key=True)
    path: Mapped[str] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(String(40))
    message: Mapped[str] = mapped_column(Text)
    remedy: Mapped[str] = mapped_column(Text)
    run_id: Mapped[str] = mapped_column(String(100))
    at: Mapped[datetime.datetime] = mapped_column(UtcDateTime)


class CohortVersion(Base):
    """A cohort as it was when its members or their labels changed."""

    __tablename__ = "cohort_versions"
    __table_args__ = (UniqueConstraint("name", "version"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    version: Mapped[int]
    digest: Mapped[str] = mapped_column(String(64))
    plan: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[datetime.datetime] = mapped_column(UtcDateTime)
    members: Mapped[list[CohortMember]] = relationship(order_by="CohortMember.id")


class CohortMember(Base):
    """A slide of a cohort version, and whose it is."""

    __tablename__ = "cohort_members"

    id: Mapped[int] = mapped_column(primary_key=True)
    cohort_version_id: Mapped[int] = mapped_column(ForeignKey("cohort_versions.id"), index=True)
    slide_id: Mapped[int] = mapped_column(ForeignKey("slides.id"))
    patient: Mapped[str] = mapped_column(String(200))
    slide: Mapped[Slide] = relationship()
