"""Rows that several aspects of the catalogue share: slides by content, and their masks.

These functions work in a database session that the caller has begun. The aspects turn rows
into values.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from hoverfast_platform.catalogue.descent_tables import WithdrawnItem
from hoverfast_platform.catalogue.records import KnownSlide, SlideRecord
from hoverfast_platform.catalogue.tables import Mask, Slide, SlidePath, WatchedFile
from hoverfast_platform.errors import CatalogueError


def register_slides(
    session: Session, records: Sequence[SlideRecord], at: datetime.datetime
) -> list[Slide]:
    """Add slides, or record where known ones are now; return rows in the order of ``records``.

    A copy does not rename a slide whose file still exists, since cohorts choose slides by name.
    """
    digests = {record.sha256 for record in records}
    known = {
        slide.sha256: slide
        for slide in session.scalars(select(Slide).where(Slide.sha256.in_(digests)))
    }
    slides: list[Slide] = []
    for record in records:
        slide = known.get(record.sha256)
        if slide is None:
            key = readable_key(record.name, record.sha256)
            slide = known[record.sha256] = Slide(
                sha256=record.sha256,
                key=key,
                display_name=Path(record.name).stem,
                first_seen=at,
            )
            session.add(slide)
            known_as = record
        elif slide.path != record.path and _is_still_there(session, slide):
            known_as = replace(record, path=slide.path, name=slide.name)
        else:
            known_as = record
        for name in _DESCRIBED:
            setattr(slide, name, getattr(known_as, name))
        slides.append(slide)
    session.flush()
    seen = {
        (row.slide_id, row.path)
        for row in session.scalars(
            select(SlidePath).where(SlidePath.slide_id.in_({slide.id for slide in slides}))
        )
    }
    for slide, record in zip(slides, records, strict=True):
        if (slide.id, record.path) not in seen:
            seen.add((slide.id, record.path))
            session.add(SlidePath(slide_id=slide.id, path=record.path, first_seen=at))
    return slides


def _is_still_there(session: Session, slide: Slide) -> bool:
    """Whether the file under which a slide is known still holds it, as far as can be told."""
    watched = session.scalar(select(WatchedFile).where(WatchedFile.path == slide.path))
    if watched is not None and (watched.slide_id != slide.id or watched.state == "missing"):
        return False
    return Path(slide.path).exists()


def find_slide(session: Session, key: str) -> Slide:
    """The slide of a key.

    Raises:
        CatalogueError: If there is none.
    """
    slide = session.scalar(select(Slide).where(Slide.key == key))
    if slide is None:
        raise CatalogueError(
            f"No slide has the key {key!r}.",
            "A key belongs to a registered slide, which makes the partition by itself. A partition "
            "that was added by hand in the UI has no slide, and can be removed there.",
        )
    return slide


def readable_key(name: str, sha256: str) -> str:
    """A key that is readable and unique: the stem in safe letters, and the start of the digest."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(name).stem).strip("-.") or "slide"
    return f"{stem[:80]}-{sha256[:10]}"


def find_or_add_mask(session: Session, slide: Slide, sha256: str, run_id: str) -> Mask:
    """Find or make a mask's row; a new one holds only its identity and the run that made it."""
    mask = session.scalar(select(Mask).where(Mask.slide_id == slide.id, Mask.sha256 == sha256))
    if mask is None:
        mask = Mask(slide_id=slide.id, sha256=sha256, run_id=run_id)
        session.add(mask)
    return mask


def known_slide(row: Slide, gone: Gone | None = None) -> KnownSlide:
    """A slide's row as a value; without ``gone`` it says nothing of its file."""
    gone = gone or Gone()
    return KnownSlide(
        *(row.key, row.name, row.path, row.sha256),
        mpp=row.mpp_x,
        mpp_override=row.mpp_x if row.mpp_source == "override" else None,
        is_replaced=row.id in gone.replaced,
        is_missing=row.id in gone.missing,
        is_withdrawn=row.id in gone.withdrawn,
    )


@dataclass(frozen=True)
class Gone:
    """Ids of slides whose watched file holds something else now, is away, or that were withdrawn.

    A slide that another watched file holds is not counted. Nothing is known of files outside of
    watched folders.
    """

    replaced: frozenset[int] = frozenset()
    missing: frozenset[int] = frozenset()
    withdrawn: frozenset[int] = frozenset()


def gone_slides(session: Session) -> Gone:
    """What the last look at the watched folders found out about slides."""
    registered = select(WatchedFile.slide_id).where(
        WatchedFile.state == "registered", WatchedFile.slide_id.is_not(None)
    )
    replaced = session.scalars(
        select(Slide.id)
        .join(WatchedFile, WatchedFile.path == Slide.path)
        .where(WatchedFile.slide_id.is_distinct_from(Slide.id), Slide.id.not_in(registered))
    )
    missing = session.scalars(
        select(WatchedFile.slide_id).where(
            WatchedFile.state == "missing", WatchedFile.slide_id.not_in(registered)
        )
    )
    withdrawn = session.scalars(select(WithdrawnItem.slide_id).where(WithdrawnItem.kind == "slide"))
    return Gone(
        frozenset(replaced),
        frozenset(id_ for id_ in missing if id_ is not None),
        frozenset(id_ for id_ in withdrawn if id_ is not None),
    )


def utc_now() -> datetime.datetime:
    """The present moment, UTC, for what is recorded."""
    return datetime.datetime.now(datetime.UTC)


_DESCRIBED = (
    "name",
    "path",
    "vendor",
    "width_px",
    "height_px",
    "mpp_x",
    "mpp_y",
    "mpp_source",
)
