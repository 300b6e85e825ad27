"""Slides by content: adding them, and finding the file that holds one now."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from hoverfast_platform.catalogue.records import SlideRecord
from hoverfast_platform.catalogue.tables import (
    ModelVersion,
    Segmentation,
    Slide,
    SlidePath,
    WatchedFile,
)
from hoverfast_platform.errors import CatalogueError


def register(
    session: Session, records: Sequence[SlideRecord], at: datetime.datetime
) -> list[Slide]:
    """Add slides, or note where known ones are now; in the order of ``records``.

    A copy beside a file that is still there renames nothing: cohorts go by names.
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
            slide = known[record.sha256] = Slide(sha256=record.sha256, key=key, first_seen=at)
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
    """Whether the file that a slide is known by holds it as far as is known."""
    watched = session.scalar(select(WatchedFile).where(WatchedFile.path == slide.path))
    if watched is not None and (watched.slide_id != slide.id or watched.state == "missing"):
        return False
    return Path(slide.path).exists()


def replaced(session: Session) -> frozenset[int]:
    """Ids of slides whose watched file holds something else now, and no other file holds them."""
    elsewhere = select(WatchedFile.slide_id).where(WatchedFile.state == "registered")
    return frozenset(
        session.scalars(
            select(Slide.id)
            .join(WatchedFile, WatchedFile.path == Slide.path)
            .where(
                WatchedFile.slide_id.is_distinct_from(Slide.id),
                Slide.id.not_in(elsewhere.where(WatchedFile.slide_id.is_not(None))),
            )
        )
    )


def current_path(session: Session, key: str) -> Path:
    """A file that holds the slide now.

    Raises:
        CatalogueError: If no slide has the key, or its file is known to have changed.
    """
    slide = find(session, key)
    copies = session.scalars(
        select(WatchedFile.path)
        .where(WatchedFile.slide_id == slide.id, WatchedFile.state == "registered")
        .order_by(WatchedFile.id.desc())
    ).all()
    for path in copies:
        if Path(path).exists():
            return Path(path)
    watched = session.scalar(select(WatchedFile).where(WatchedFile.path == slide.path))
    if watched is not None and watched.slide_id != slide.id:
        raise CatalogueError(
            f"{slide.path} does not hold the slide {key} any more: its content changed.",
            "The new content is a slide of its own, with its own partition. To work with the old "
            "one, put its file back.",
        )
    return Path(slide.path)


def segmented_by_others(session: Session, model_sha256: str) -> tuple[str, ...]:
    """Keys of slides that were segmented, but not by a model, in the order they came."""
    by_any = select(Segmentation.slide_id)
    by_it = by_any.join(Segmentation.model).where(ModelVersion.sha256 == model_sha256)
    return tuple(
        session.scalars(
            select(Slide.key).where(Slide.id.in_(by_any), Slide.id.not_in(by_it)).order_by(Slide.id)
        )
    )


def find(session: Session, key: str) -> Slide:
    """The slide of a key.

    Raises:
        CatalogueError: If there is none.
    """
    slide = session.scalar(select(Slide).where(Slide.key == key))
    if slide is None:
        raise CatalogueError(f"No slide has the key {key!r}.", "Register the slide first.")
    return slide


def readable_key(name: str, sha256: str) -> str:
    """Readable and unique: the stem in safe letters, and the start of the digest."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(name).stem).strip("-.") or "slide"
    return f"{stem[:80]}-{sha256[:10]}"


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
