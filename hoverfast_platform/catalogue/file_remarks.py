"""What a person should know of watched files that can be used: gone, held twice, overwritten."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from hoverfast_platform.catalogue.database import Database
from hoverfast_platform.catalogue.tables import Slide, SlidePath, WatchedFile

RemarkKind: TypeAlias = Literal["missing", "duplicate", "replaced"]


@dataclass(frozen=True)
class FileRemark:
    """One file, and what is remarkable about it.

    Attributes:
        path: Of the file.
        kind: `missing`: the last look did not find it. `duplicate`: another file holds the same
            slide. `replaced`: it held another slide before.
        slide_key: The slide that is missing, held twice, or was held before.
    """

    path: str
    kind: RemarkKind
    slide_key: str


def file_remarks(database: Database) -> tuple[FileRemark, ...]:
    """All remarks on watched files, by kind and path."""
    with Session(database.reader) as session:
        missing = session.execute(
            select(WatchedFile.path, Slide.key)
            .join(Slide, Slide.id == WatchedFile.slide_id)
            .where(WatchedFile.state == "missing")
            .order_by(WatchedFile.path)
        ).all()
        held_twice = (
            select(WatchedFile.slide_id)
            .where(WatchedFile.state == "registered")
            .group_by(WatchedFile.slide_id)
            .having(func.count() > 1)
        )
        duplicates = session.execute(
            select(WatchedFile.path, Slide.key)
            .join(Slide, Slide.id == WatchedFile.slide_id)
            .where(WatchedFile.state == "registered", Slide.id.in_(held_twice))
            .order_by(Slide.key, WatchedFile.path)
        ).all()
        replaced = session.execute(
            select(WatchedFile.path, Slide.key)
            .join(SlidePath, SlidePath.path == WatchedFile.path)
            .join(Slide, Slide.id == SlidePath.slide_id)
            .where(
                WatchedFile.state == "registered",
                WatchedFile.slide_id != SlidePath.slide_id,
            )
            .order_by(WatchedFile.path, Slide.key)
        ).all()
    return (
        *(FileRemark(path, "missing", key) for path, key in missing),
        *(FileRemark(path, "duplicate", key) for path, key in duplicates),
        *(FileRemark(path, "replaced", key) for path, key in replaced),
    )
