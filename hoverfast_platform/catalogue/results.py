"""Results: finished segmentations, which are current, failures, and where a result came from."""

from __future__ import annotations

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from hoverfast_platform.catalogue.current import current_results, make_current
from hoverfast_platform.catalogue.database import Database
from hoverfast_platform.catalogue.descent import find_or_add_model
from hoverfast_platform.catalogue.records import (
    CurrentResult,
    FailureRecord,
    Lineage,
    LineageEntry,
    SegmentationRecord,
)
from hoverfast_platform.catalogue.rows import find_or_add_mask, register_slides, utc_now
from hoverfast_platform.catalogue.tables import CurrentResult as CurrentRow
from hoverfast_platform.catalogue.tables import (
    Failure,
    ResultFile,
    Segmentation,
    Slide,
    SlidePath,
)
from hoverfast_platform.errors import AbsentSlideError, CatalogueError
from hoverfast_platform.provenance import Provenance


class Results:
    """All reads and writes about segmentations and failures."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, record: SegmentationRecord) -> None:
        """Record a finished segmentation: from now on it is the slide's result.

        One recorded before is brought up to date, keeps the moment it was computed, and becomes
        current again if it was not.

        Raises:
            CatalogueError: If it is a flat image's, which has no mask.
        """
        made_from = record.provenance
        if made_from.mask is None:
            raise CatalogueError(
                f"Segmentation {made_from.segmentation_id} is a flat image's.",
                "The catalogue keeps segmentations of slides.",
            )
        run_id = self._database.run_id or record.run_id
        with Session(self._database.writer) as session, session.begin():
            (slide,) = register_slides(session, [record.slide], utc_now())
            mask = find_or_add_mask(session, slide, made_from.mask.sha256, run_id)
            mask.engine, mask.tissue_area_mm2 = made_from.mask.engine, record.tissue_area_mm2
            model = find_or_add_model(session, record.model, run_id)
            identity = made_from.segmentation_id
            known = session.scalar(
                select(Segmentation).where(Segmentation.segmentation_id == identity)
            )
            row = known or Segmentation(segmentation_id=identity)
            row.slide, row.mask, row.model = slide, mask, model
            row.provenance = made_from.model_dump(mode="json")
            row.run_id, row.n_nuclei = record.run_id, record.n_nuclei
            row.seconds_per_mm2 = record.seconds_per_mm2
            row.files = [ResultFile(path=p, sha256=sha) for p, sha in record.files.items()]
            row.finished_at, row.found_again_at = record.finished_at, utc_now() if known else None
            session.add(row)
            session.flush()
            make_current(session, row, made_from.settings, record.scope, utc_now())

    def record_failure(self, failure: FailureRecord) -> None:
        """Record that a slide, or a step of learning, failed."""
        with Session(self._database.writer) as session, session.begin():
            session.add(
                Failure(
                    path=failure.path,
                    kind=failure.kind,
                    message=failure.message,
                    remedy=failure.remedy,
                    run_id=failure.run_id or self._database.run_id,
                    at=utc_now(),
                    slide_id=_slide_of(session, failure),
                    cohort=failure.cohort,
                    step=failure.step,
                )
            )

    def newest_failures(self) -> dict[str, FailureRecord]:
        """The newest failure of every slide that ever failed, by its key.

        A failure because the file was away does not count: a look at the folder tells that.
        """
        return {
            failure.slide_key: failure
            for failure in reversed(self.failures())
            if failure.slide_key is not None and failure.kind != AbsentSlideError.kind
        }

    def failures(self) -> tuple[FailureRecord, ...]:
        """All failures, newest first."""
        with Session(self._database.reader) as session:
            rows = session.execute(
                select(Failure, Slide.key)
                .outerjoin(Slide, Slide.id == Failure.slide_id)
                .order_by(Failure.id.desc())
            ).all()
        return tuple(
            FailureRecord(
                *(r.path, r.kind, r.message, r.remedy, r.run_id),
                slide_key=key,
                cohort=r.cohort,
                step=r.step,
                at=r.at,
            )
            for r, key in rows
        )

    def current(self) -> tuple[CurrentResult, ...]:
        """The present result of every slide, one per slide, in the order in which slides came.

        If a slide was segmented with several settings, the newest result counts.
        """
        with Session(self._database.reader) as session:
            return current_results(session)

    def lineage(self, text: str) -> Lineage:
        """Where results came from, current ones first.

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
            scopes = {
                row.segmentation_row_id: row.scope
                for row in session.scalars(
                    select(CurrentRow).where(
                        CurrentRow.segmentation_row_id.in_([row.id for row in rows]),
                        CurrentRow.until.is_(None),
                    )
                )
            }
            entries = [_entry(row, scopes.get(row.id)) for row in rows]
            # Files of a result that was replaced have the names of the current one's.
            return Lineage(tuple(sorted(entries, key=lambda entry: not entry.is_current)))


def _slide_of(session: Session, failure: FailureRecord) -> int | None:
    """The slide that a failure is about, found by its key or else by a path it was seen under."""
    if failure.slide_key is not None:
        return session.scalar(select(Slide.id).where(Slide.key == failure.slide_key))
    return session.scalar(
        select(SlidePath.slide_id)
        .where(SlidePath.path == failure.path)
        .order_by(SlidePath.id.desc())
        .limit(1)
    )


def _entry(row: Segmentation, scope: str | None) -> LineageEntry:
    return LineageEntry(
        provenance=Provenance.model_validate(row.provenance),
        slide_name=row.slide.name,
        slide_path=row.slide.path,
        mask_path=row.mask.path,
        mask_record=row.mask.record,
        model_card=row.model.card,
        run_id=row.run_id,
        n_nuclei=row.n_nuclei,
        files={file.path: file.sha256 for file in row.files},
        finished_at=row.finished_at,
        is_current=scope is not None,
        scope=scope,
    )
