"""What slides look like in numbers, and which slides one is to be compared with."""

from __future__ import annotations

import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from hoverfast_platform.catalogue.records import AppearanceRecord
from hoverfast_platform.catalogue.tables import (
    CohortMember,
    CohortVersion,
    Slide,
    SlideAppearance,
)

N_COMPANIONS = 500
"""Newest slides that one is compared with: enough for medians, and no slower in an archive."""


def record(
    session: Session, slide: Slide, appearance: AppearanceRecord, now: datetime.datetime
) -> None:
    """Note what a slide looks like; replaces what was noted before."""
    row = session.scalar(select(SlideAppearance).where(SlideAppearance.slide_id == slide.id))
    if row is None:
        row = SlideAppearance(slide_id=slide.id)
        session.add(row)
    row.hematoxylin, row.eosin = appearance.hematoxylin, appearance.eosin
    row.nuclei_per_mm2, row.at = appearance.nuclei_per_mm2, now


def companions(session: Session, slide: Slide) -> tuple[str, tuple[AppearanceRecord, ...]]:
    """The newest other slides of its cohort; those of the whole platform where it has none.

    Of several cohorts the one whose newest version is the youngest counts.
    """
    newest = select(func.max(CohortVersion.id).label("id")).group_by(CohortVersion.name).subquery()
    cohort = session.scalar(
        select(CohortVersion)
        .join(newest, newest.c.id == CohortVersion.id)
        .join(CohortMember, CohortMember.cohort_version_id == CohortVersion.id)
        .where(CohortMember.slide_id == slide.id)
        .order_by(CohortVersion.id.desc())
        .limit(1)
    )
    others = select(
        SlideAppearance.hematoxylin, SlideAppearance.eosin, SlideAppearance.nuclei_per_mm2
    ).where(SlideAppearance.slide_id != slide.id)
    if cohort is not None:
        members = select(CohortMember.slide_id).where(CohortMember.cohort_version_id == cohort.id)
        others = others.where(SlideAppearance.slide_id.in_(members))
    name = f"cohort {cohort.name} v{cohort.version}" if cohort is not None else "all slides"
    rows = session.execute(others.order_by(SlideAppearance.slide_id.desc()).limit(N_COMPANIONS))
    return name, tuple(AppearanceRecord(*row) for row in rows)
