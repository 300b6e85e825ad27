"""Results: finished segmentations, failures, and where a result came from."""

from __future__ import annotations

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from hoverfast_platform.catalogue.database import Database
from hoverfast_platform.catalogue.records import (
    FailureRecord,
    Lineage,
    LineageEntry,
    SegmentationRecord,
)
from hoverfast_platform.catalogue.rows import find_or_add_mask, register_slides, utc_now
from hoverfast_platform.catalogue.tables import (
    Failure,
    ModelVersion,
    ResultFile,
    Segmentation,
    Slide,
    SlidePath,
)
from hoverfast_platform.errors import CatalogueError
from hoverfast_platform.provenance import Provenance


class Results:
    """All reads and writes about segmentations and failures."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, record: SegmentationRecord) -> None:
        """Record a finished segmentation; one recorded before is brought up to date.

        Raises:
            CatalogueError: If it is a flat image's, which has no mask.
        """
        made_from = record.provenance
        if made_from.mask is None:
            raise CatalogueError(
                f"Segmentation {made_from.segmentation_id} is a flat image's.",
                "The catalogue keeps segmentations of slides.",
            )
        with Session(self._database.writer) as session, session.begin():
            (slide,) = register_slides(session, [record.slide], utc_now())
            mask = find_or_add_mask(session, slide, made_from.mask.sha256)
            mask.engine, mask.tissue_area_mm2 = made_from.mask.engine, record.tissue_area_mm2
            model = session.scalar(
                select(ModelVersion).where(ModelVersion.sha256 == made_from.model.sha256)
            ) or ModelVersion(sha256=made_from.model.sha256)
            model.name, model.version = made_from.model.name, made_from.model.version
            model.card = record.model_card
            identity = made_from.segmentation_id
            row = session.scalar(
                select(Segmentation).where(Segmentation.segmentation_id == identity)
            ) or Segmentation(segmentation_id=identity)
            row.slide, row.mask, row.model = slide, mask, model
            row.provenance = made_from.model_dump(mode="json")
            row.run_id, row.n_nuclei = record.run_id, record.n_nuclei
            row.seconds_per_mm2 = record.seconds_per_mm2
            row.files = [ResultFile(path=p, sha256=sha) for p, sha in record.files.items()]
            row.finished_at = utc_now()
            session.add_all([model, row])

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
                    at=utc_now(),
                )
            )

    def failures(self) -> tuple[FailureRecord, ...]:
        """All failures, newest first."""
        with Session(self._database.reader) as session:
            rows = session.scalars(select(Failure).order_by(Failure.id.desc())).all()
        return tuple(FailureRecord(r.path, r.kind, r.message, r.remedy, r.run_id) for r in rows)

    def slides_of_other_models(self, model_sha256: str) -> tuple[str, ...]:
        """Keys of slides that were segmented, but never by this model, oldest first."""
        with Session(self._database.reader) as session:
            by_any = select(Segmentation.slide_id)
            by_it = by_any.join(Segmentation.model).where(ModelVersion.sha256 == model_sha256)
            return tuple(
                session.scalars(
                    select(Slide.key)
                    .where(Slide.id.in_(by_any), Slide.id.not_in(by_it))
                    .order_by(Slide.id)
                )
            )

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


def _entry(row: Segmentation) -> LineageEntry:
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
    )
