"""Cohorts in the catalogue: finding slides by name, and keeping what a cohort was when."""

from __future__ import annotations

import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from hoverfast_platform.catalogue.records import CohortMemberRecord, CohortRecord, KnownSlide
from hoverfast_platform.catalogue.slides import replaced
from hoverfast_platform.catalogue.tables import CohortMember, CohortVersion, Slide
from hoverfast_platform.errors import CatalogueError


def known_slides(session: Session) -> tuple[KnownSlide, ...]:
    """All registered slides, in order of key."""
    rows = session.scalars(select(Slide).order_by(Slide.key)).all()
    gone = replaced(session)
    return tuple(_known(row, is_replaced=row.id in gone) for row in rows)


def record(
    session: Session,
    cohort: CohortRecord,
    plan: dict[str, Any],
    at: datetime.datetime,
) -> CohortRecord:
    """Keep a cohort; a new version only if its digest is not the newest one's."""
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
            select(Slide).where(Slide.key.in_([member.slide.key for member in cohort.members]))
        )
    }
    row = CohortVersion(
        name=cohort.name,
        version=newest.version + 1 if newest is not None else 1,
        digest=cohort.digest,
        plan=plan,
        created_at=at,
        members=[
            CohortMember(slide=slides[member.slide.key], patient=member.patient)
            for member in cohort.members
        ],
    )
    session.add(row)
    session.flush()
    return _record(row)


def get(session: Session, name: str, version: int | None) -> CohortRecord:
    """A cohort's version, the newest if none is named.

    Raises:
        CatalogueError: If there is none.
    """
    query = select(CohortVersion).where(CohortVersion.name == name)
    if version is not None:
        query = query.where(CohortVersion.version == version)
    row = session.scalar(query.order_by(CohortVersion.version.desc()).limit(1))
    if row is None:
        which = f" in version {version}" if version is not None else ""
        raise CatalogueError(
            f"There is no cohort {name!r}{which} in the catalogue.", "Materialize `cohort` first."
        )
    return _record(row)


def _record(row: CohortVersion) -> CohortRecord:
    return CohortRecord(
        name=row.name,
        version=row.version,
        digest=row.digest,
        members=tuple(CohortMemberRecord(_known(m.slide), m.patient) for m in row.members),
    )


def _known(row: Slide, *, is_replaced: bool = False) -> KnownSlide:
    override = row.mpp_x if row.mpp_source == "override" else None
    return KnownSlide(row.key, row.name, row.path, row.sha256, override, is_replaced)
