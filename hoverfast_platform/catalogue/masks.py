"""Rows of tissue masks: one per slide and content, wherever it came from."""

from __future__ import annotations

import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from hoverfast_platform.catalogue.records import TissueMaskRecord
from hoverfast_platform.catalogue.tables import Mask, Slide


def find_or_add(session: Session, slide: Slide, sha256: str) -> Mask:
    """The row of a mask; a new one has nothing but its identity."""
    mask = session.scalar(select(Mask).where(Mask.slide_id == slide.id, Mask.sha256 == sha256))
    if mask is None:
        mask = Mask(slide_id=slide.id, sha256=sha256)
        session.add(mask)
    return mask


def record(session: Session, slide: Slide, made: TissueMaskRecord, now: datetime.datetime) -> None:
    """Note a mask that was made or imported, and where its file is now."""
    mask = find_or_add(session, slide, made.sha256)
    mask.engine, mask.tissue_area_mm2 = made.engine, made.tissue_area_mm2
    mask.path, mask.record, mask.made_at = made.path, made.record, now


def of_slide(session: Session, slide: Slide) -> tuple[TissueMaskRecord, ...]:
    """Masks of a slide that were made or imported here, newest first."""
    rows = session.scalars(
        select(Mask)
        .where(Mask.slide_id == slide.id, Mask.path.is_not(None))
        .order_by(Mask.made_at.desc(), Mask.id.desc())
    )
    return tuple(
        TissueMaskRecord(
            sha256=row.sha256,
            engine=row.engine,
            tissue_area_mm2=row.tissue_area_mm2,
            path=row.path or "",
            record=row.record or {},
        )
        for row in rows
    )
