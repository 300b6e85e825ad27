"""Cohorts: keeping what a cohort was, in versions."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from hoverfast_platform.catalogue.database import Database
from hoverfast_platform.catalogue.records import CohortMemberRecord, CohortRecord
from hoverfast_platform.catalogue.rows import known_slide, utc_now
from hoverfast_platform.catalogue.tables import CohortMember, CohortVersion, Slide
from hoverfast_platform.errors import CatalogueError


class Cohorts:
    """All reads and writes about cohorts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, cohort: CohortRecord, plan: dict[str, Any]) -> CohortRecord:
        """Keep a cohort and return its version, which is a new one only if the digest is new.

        Of two callers at once one waits, and gets the same version if the cohort is the same.
        """
        with Session(self._database.writer) as session, session.begin():
            newest = session.scalar(
                select(CohortVersion)
                .where(CohortVersion.name == cohort.name)
                .order_by(CohortVersion.version.desc())
                .limit(1)
            )
            if newest is not None and newest.digest == cohort.digest:
                return _record(newest)
            slides = {
                s.key: s
                for s in session.scalars(
                    select(Slide).where(
                        Slide.key.in_([member.slide.key for member in cohort.members])
                    )
                )
            }
            row = CohortVersion(
                name=cohort.name,
                version=newest.version + 1 if newest is not None else 1,
                digest=cohort.digest,
                plan=plan,
                warnings="\n".join(cohort.warnings),
                run_id=self._database.run_id,
                created_at=utc_now(),
                members=[
                    CohortMember(slide=slides[member.slide.key], patient=member.patient)
                    for member in cohort.members
                ],
            )
            session.add(row)
            session.flush()
            return _record(row)

    def get(self, name: str, version: int | None = None) -> CohortRecord:
        """A version of a cohort, the newest if none is named.

        Raises:
            CatalogueError: If there is none.
        """
        with Session(self._database.reader) as session:
            query = select(CohortVersion).where(CohortVersion.name == name)
            if version is not None:
                query = query.where(CohortVersion.version == version)
            row = session.scalar(query.order_by(CohortVersion.version.desc()).limit(1))
            if row is None:
                which = f" in version {version}" if version is not None else ""
                raise CatalogueError(
                    f"There is no cohort {name!r}{which} in the catalogue.",
                    "Materialize `cohort` first.",
                )
            return _record(row)

    def newest(self) -> tuple[CohortRecord, ...]:
        """The newest version of every cohort, in order of name."""
        with Session(self._database.reader) as session:
            last = select(func.max(CohortVersion.id)).group_by(CohortVersion.name)
            rows = session.scalars(
                select(CohortVersion).where(CohortVersion.id.in_(last)).order_by(CohortVersion.name)
            )
            return tuple(map(_record, rows))


def _record(row: CohortVersion) -> CohortRecord:
    return CohortRecord(
        name=row.name,
        version=row.version,
        digest=row.digest,
        warnings=tuple(row.warnings.splitlines()),
        members=tuple(CohortMemberRecord(known_slide(m.slide), m.patient) for m in row.members),
    )
