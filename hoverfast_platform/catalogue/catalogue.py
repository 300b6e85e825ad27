"""Every read and write of the catalogue; the only user of database sessions.

Reads use the database's reader, writes its writer: see ``catalogue.database``.
"""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any, Self

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from hoverfast_platform.catalogue import appearances, cohorts, masks, model_stages, slides
from hoverfast_platform.catalogue.database import CatalogueLocation, Database, open_database
from hoverfast_platform.catalogue.records import (
    DEFAULT_SCOPE,
    AppearanceRecord,
    CohortRecord,
    EvaluationRecord,
    FailureRecord,
    KnownSlide,
    Lineage,
    ModelRecord,
    ModelStanding,
    ModelUse,
    SegmentationRecord,
    SlideRecord,
    TissueMaskRecord,
)
from hoverfast_platform.catalogue.tables import (
    Failure,
    ModelVersion,
    ResultFile,
    Segmentation,
    Slide,
    SlidePath,
)
from hoverfast_platform.catalogue.watched_files import WatchedFiles


class Catalogue:
    """The metadata database of one platform or one results folder."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    def open(cls, location: CatalogueLocation) -> Catalogue:
        """Open a catalogue: a SQLite file or the URL of a PostgreSQL database.

        A file is made or migrated if need be; two processes may do so at once. A database on
        a server is made and migrated by ``hoverfast catalogue upgrade``.

        Raises:
            CatalogueUnavailableError: If the server cannot be reached.
            CatalogueError: If it is no catalogue, or was made by another version.
        """
        return cls(open_database(location))

    def close(self) -> None:
        """Close all connections."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def register_slide(self, record: SlideRecord) -> str:
        """Add a slide, or note where a known one is now; returns its readable, stable key."""
        with Session(self._database.writer) as session, session.begin():
            return slides.register(session, [record], _now())[0].key

    def slide_path(self, key: str) -> Path:
        """A file that holds the slide of a key now.

        Raises:
            CatalogueError: If there is no such slide, or its file is known to have changed.
        """
        with Session(self._database.reader) as session:
            return slides.current_path(session, key)

    def slide_digest(self, key: str) -> str:
        """SHA-256 of the content registered under a key.

        Raises:
            CatalogueError: If there is no such slide.
        """
        with Session(self._database.reader) as session:
            return slides.find(session, key).sha256

    def slide_mpp_override(self, key: str) -> float | None:
        """Micrometres per pixel that a person gave for a slide; None: the file's own hold.

        Raises:
            CatalogueError: If there is no such slide.
        """
        with Session(self._database.reader) as session:
            slide = slides.find(session, key)
            return slide.mpp_x if slide.mpp_source == "override" else None

    def watched_files(self) -> WatchedFiles:
        """The list of slide files in watched folders."""
        return WatchedFiles(self._database)

    def record_done(self, record: SegmentationRecord) -> None:
        """Record a finished segmentation; one recorded before is brought up to date."""
        with Session(self._database.writer) as session, session.begin():
            (slide,) = slides.register(session, [record.slide], _now())
            mask = masks.find_or_add(session, slide, record.mask_sha256)
            mask.engine, mask.tissue_area_mm2 = record.mask_engine, record.tissue_area_mm2
            model = session.scalar(
                select(ModelVersion).where(ModelVersion.sha256 == record.model_sha256)
            ) or ModelVersion(sha256=record.model_sha256)
            model.name, model.version = record.model_name, record.model_version
            model.card = record.model_card
            row = session.scalar(
                select(Segmentation).where(Segmentation.segmentation_id == record.segmentation_id)
            ) or Segmentation(segmentation_id=record.segmentation_id)
            row.slide, row.mask, row.model = slide, mask, model
            for name in (
                "settings",
                "code_version",
                "device",
                "backend",
                "precision",
                "run_id",
                "n_nuclei",
                "seconds_per_mm2",
            ):
                setattr(row, name, getattr(record, name))
            row.files = [ResultFile(path=p, sha256=sha) for p, sha in record.files.items()]
            row.finished_at = _now()
            session.add_all([model, row])

    def record_mask(self, slide_key: str, mask: TissueMaskRecord) -> None:
        """Note a mask of a registered slide; the same pixels made again renew their row.

        Raises:
            CatalogueError: If there is no such slide.
        """
        with Session(self._database.writer) as session, session.begin():
            masks.record(session, slides.find(session, slide_key), mask, _now())

    def masks(self, slide_key: str) -> tuple[TissueMaskRecord, ...]:
        """Masks of a slide, newest first.

        Raises:
            CatalogueError: If there is no such slide.
        """
        with Session(self._database.reader) as session:
            return masks.of_slide(session, slides.find(session, slide_key))

    def record_failure(self, failure: FailureRecord) -> None:
        """Record that a slide failed."""
        with Session(self._database.writer) as session, session.begin():
            session.add(
                Failure(
                    path=failure.path,
                    kind=failure.kind,
                    message=failure.message,
                    remedy=failure.remedy,
                    run_id=failure.run_id,
                    at=_now(),
                )
            )

    def failures(self) -> tuple[FailureRecord, ...]:
        """All failures, newest first."""
        with Session(self._database.reader) as session:
            rows = session.scalars(select(Failure).order_by(Failure.id.desc())).all()
        return tuple(FailureRecord(r.path, r.kind, r.message, r.remedy, r.run_id) for r in rows)

    def register_candidate(
        self, model: ModelRecord, *, scope: str = DEFAULT_SCOPE, reason: str = ""
    ) -> None:
        """Add a model version; one known in the scope keeps its stage, its path is renewed."""
        with Session(self._database.writer) as session:
            model_stages.register(session, model, scope, reason, _now())

    def promote(
        self,
        sha256: str,
        *,
        replaces: str | None,
        reason: str,
        verdict: dict[str, Any] | None = None,
        scope: str = DEFAULT_SCOPE,
    ) -> None:
        """Make a model the promoted one of a scope; the one it replaces is retired.

        Rolling back is promoting a model that was promoted in the scope before: it has been
        judged, so no verdict is needed.

        Args:
            sha256: The model.
            replaces: The model promoted now, against which the verdict was made, or None.
                When it is another one by now, nothing changes.
            reason: Why, in words.
            verdict: Of the gate; its key ``passed`` must be true.
            scope: What it is promoted for.

        Raises:
            CatalogueError: If it is not registered in the scope or promoted already, was never
                judged or did not pass, or if another model was promoted meanwhile.
        """
        with Session(self._database.writer) as session:
            model_stages.promote(
                session, sha256, replaces, model_stages.Entry(scope, reason, verdict, _now())
            )

    def retire(self, sha256: str, *, reason: str, scope: str = DEFAULT_SCOPE) -> None:
        """Take a candidate or the promoted model out of use; it can be promoted again.

        Raises:
            CatalogueError: If it is neither in the scope.
        """
        with Session(self._database.writer) as session:
            model_stages.retire(session, sha256, model_stages.Entry(scope, reason, None, _now()))

    def promoted_model(self, scope: str = DEFAULT_SCOPE) -> ModelStanding | None:
        """The model promoted in a scope now, if any."""
        with Session(self._database.reader) as session:
            return model_stages.promoted(session, scope)

    def models(self) -> tuple[ModelStanding, ...]:
        """What each registered model counts as now in each scope, newest first."""
        with Session(self._database.reader) as session:
            return model_stages.current(session)

    def model_history(self, sha256: str) -> tuple[ModelStanding, ...]:
        """All stages of a model in all scopes, newest first."""
        with Session(self._database.reader) as session:
            return model_stages.history(session, sha256)

    def find_model(self, text: str) -> str:
        """Digest of the one model whose name, ``name@version`` or start of digest is ``text``.

        Raises:
            CatalogueError: If there is none, or more than one.
        """
        with Session(self._database.reader) as session:
            return model_stages.find(session, text)

    def model(self, sha256: str) -> ModelRecord:
        """What is known of a model.

        Raises:
            CatalogueError: If there is no such model.
        """
        with Session(self._database.reader) as session:
            return model_stages.record(session, sha256)

    def model_uses(self, sha256: str) -> tuple[ModelUse, ...]:
        """The segmentations a model made, newest first."""
        with Session(self._database.reader) as session:
            return model_stages.uses(session, sha256)

    def slides_segmented_by_others(self, model_sha256: str) -> tuple[str, ...]:
        """Keys of slides that were segmented, but never by this model, oldest first."""
        with Session(self._database.reader) as session:
            return slides.segmented_by_others(session, model_sha256)

    def record_appearance(self, key: str, appearance: AppearanceRecord) -> None:
        """Note what a slide looks like in numbers.

        Raises:
            CatalogueError: If there is no such slide.
        """
        with Session(self._database.writer) as session, session.begin():
            appearances.record(session, slides.find(session, key), appearance, _now())

    def companions(self, key: str) -> tuple[str, tuple[AppearanceRecord, ...]]:
        """The other slides of a slide's cohort, or of the platform, and who they are.

        Raises:
            CatalogueError: If there is no such slide.
        """
        with Session(self._database.reader) as session:
            return appearances.companions(session, slides.find(session, key))

    def record_evaluation(self, record: EvaluationRecord) -> None:
        """Record a measurement of a registered model.

        Raises:
            CatalogueError: If the model is not registered.
        """
        with Session(self._database.writer) as session:
            model_stages.add_evaluation(session, record, _now())

    def evaluations(self, sha256: str) -> tuple[EvaluationRecord, ...]:
        """All measurements of a model, newest first."""
        with Session(self._database.reader) as session:
            return model_stages.evaluations(session, sha256)

    def known_slides(self) -> tuple[KnownSlide, ...]:
        """All registered slides, in order of key."""
        with Session(self._database.reader) as session:
            return cohorts.known_slides(session)

    def record_cohort(self, cohort: CohortRecord, plan: dict[str, Any]) -> CohortRecord:
        """Keep a cohort and get its version: a new one only if its digest is new.

        Two at once: one waits, and gets the same version if the cohort is the same.
        """
        with Session(self._database.writer) as session, session.begin():
            return cohorts.record(session, cohort, plan, _now())

    def cohort(self, name: str, version: int | None = None) -> CohortRecord:
        """A version of a cohort, the newest if none is named.

        Raises:
            CatalogueError: If there is none.
        """
        with Session(self._database.reader) as session:
            return cohorts.get(session, name, version)

    def lineage(self, text: str) -> Lineage:
        """Where results came from.

        Args:
            text: A slide's digest, key, name or path (also a former path), a segmentation id,
                or the path or digest of a result file.
        """
        former = select(SlidePath.slide_id).where(SlidePath.path == text)
        of_file = select(ResultFile.segmentation_row_id).where(
            or_(ResultFile.path == text, ResultFile.sha256 == text)
        )
        with Session(self._database.reader) as session:
            rows = session.scalars(
                select(Segmentation)
                .join(Segmentation.slide)
                .where(
                    or_(
                        Segmentation.segmentation_id == text,
                        Slide.sha256 == text,
                        Slide.key == text,
                        Slide.name == text,
                        Slide.id.in_(former),
                        Segmentation.id.in_(of_file),
                    )
                )
                .order_by(Segmentation.finished_at.desc())
            ).all()
            return Lineage(tuple(_entry(row) for row in rows))


def _entry(row: Segmentation) -> dict[str, Any]:
    return {
        "segmentation_id": row.segmentation_id,
        "slide": {"name": row.slide.name, "path": row.slide.path, "sha256": row.slide.sha256},
        "mask": {
            "engine": row.mask.engine,
            "sha256": row.mask.sha256,
            "path": row.mask.path,
            "record": row.mask.record,
        },
        "model": {
            "name": row.model.name,
            "version": row.model.version,
            "sha256": row.model.sha256,
            "card": row.model.card,
        },
        "settings": row.settings,
        "code_version": row.code_version,
        "device": f"{row.device} ({row.backend} {row.precision})",
        "run_id": row.run_id,
        "n_nuclei": row.n_nuclei,
        "files": {file.path: file.sha256 for file in row.files},
        "finished_at": row.finished_at.isoformat(),
    }


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
