"""Slide files in watched folders, and how far each is on its way into the catalogue.

A file is ``settling`` until it stayed unchanged for a while, then ``ready``; judging it makes
it ``registered`` or ``quarantined``. Any change of it starts over. One that disappears is
``missing`` if it was registered, and forgotten otherwise. All of this is kept here and not in a
scheduler's memory, so that nothing is lost or done twice when the scheduler is restarted.
"""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.orm import Session

from hoverfast_platform.catalogue.database import Database
from hoverfast_platform.catalogue.file_remarks import FileRemark, file_remarks
from hoverfast_platform.catalogue.records import SlideRecord
from hoverfast_platform.catalogue.rows import register_slides, utc_now
from hoverfast_platform.catalogue.tables import Failure, Slide, SlidePath, WatchedFile
from hoverfast_platform.errors import AbsentSlideError, CatalogueError, HoverFastError

_Item = TypeVar("_Item")

_MAX_VARIABLES = 500
"""Most values in one SQL statement; SQLite takes 32,766, older versions 999."""


@dataclass(frozen=True)
class ReadyFile:
    """A file to judge.

    Attributes:
        path: The file to open.
        signature: Its signature when it was found unchanged; if it has another one afterwards,
            the verdict is void.
        mpp_override: Micrometres per pixel given by a person for this file.
    """

    path: str
    signature: str
    mpp_override: float | None


@dataclass(frozen=True)
class QuarantinedFile:
    """A file that cannot be used as it is, why, and what to do."""

    path: str
    kind: str
    message: str
    remedy: str
    since: datetime.datetime


@dataclass(frozen=True)
class ReturnedSlide:
    """A slide that failed because its file was missing, and whose file is there again.

    Attributes:
        key: Key of the slide.
        failure_id: Row of its newest failure.
        step: The step that failed; empty where a command did.
    """

    key: str
    failure_id: int
    step: str


@dataclass(frozen=True)
class Judged:
    """What became of a ready file: a slide, or the error that puts it into quarantine."""

    file: ReadyFile
    verdict: SlideRecord | HoverFastError


class WatchedFiles:
    """All reads and writes of the list of watched files."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def update(
        self,
        root: str,
        found: Mapping[str, str],
        *,
        now: datetime.datetime,
        settle_s: float,
        all_listed: bool,
    ) -> None:
        """Record what one look at a folder found.

        Args:
            root: The watched folder.
            found: Path to signature of every slide in it.
            now: Time of the look.
            settle_s: How long a file must stay unchanged.
            all_listed: False if parts of the folder could not be listed: then nothing that
                was not found is taken for gone.
        """
        with Session(self._database.writer) as session, session.begin():
            rows = session.execute(
                select(
                    WatchedFile.id,
                    WatchedFile.path,
                    WatchedFile.signature,
                    WatchedFile.state,
                    WatchedFile.unchanged_since,
                    WatchedFile.slide_id,
                ).where(WatchedFile.root == root)
            ).all()
            changes = _compare(rows, found, now, settle_s)
            for row_id, new_signature in changes.changed:
                session.execute(
                    update(WatchedFile)
                    .where(WatchedFile.id == row_id)
                    .values(signature=new_signature, **_fresh(now))
                )
            _set_state(session, changes.settled, "ready", now)
            _set_state(session, changes.back, "registered", now)
            if all_listed:
                _set_state(session, changes.gone, "missing", now)
                for ids in _chunks(changes.forgotten):
                    session.execute(delete(WatchedFile).where(WatchedFile.id.in_(ids)))
            self._add(session, root, found, {row.path for row in rows}, now)

    def _add(
        self,
        session: Session,
        root: str,
        found: Mapping[str, str],
        known: set[str],
        now: datetime.datetime,
    ) -> None:
        """Add new files; a path below two watched folders belongs to the first that had it."""
        fresh = [path for path in found if path not in known]
        elsewhere: set[str] = set()
        for paths in _chunks(fresh):
            elsewhere.update(
                session.scalars(select(WatchedFile.path).where(WatchedFile.path.in_(paths)))
            )
        new = [
            {"root": root, "path": path, "signature": found[path], **_fresh(now)}
            for path in fresh
            if path not in elsewhere
        ]
        if new:
            session.execute(insert(WatchedFile), new)

    def n_present(self, root: str) -> int:
        """How many files of a folder were there at the last look."""
        with Session(self._database.reader) as session:
            n = session.scalar(
                select(func.count())
                .select_from(WatchedFile)
                .where(WatchedFile.root == root, WatchedFile.state != "missing")
            )
        return n or 0

    def counts(self) -> Counter[str]:
        """How many files are in each state."""
        with Session(self._database.reader) as session:
            rows = session.execute(
                select(WatchedFile.state, func.count()).group_by(WatchedFile.state)
            )
            return Counter({row[0]: row[1] for row in rows})

    def ready(self, n: int) -> list[ReadyFile]:
        """At most ``n`` files to judge, the oldest first."""
        with Session(self._database.reader) as session:
            rows = session.execute(
                select(WatchedFile.path, WatchedFile.signature, WatchedFile.mpp_override)
                .where(WatchedFile.state == "ready")
                .order_by(WatchedFile.id)
                .limit(n)
            )
            return [ReadyFile(*row) for row in rows]

    def record(self, judged: Sequence[Judged], now: datetime.datetime) -> list[str]:
        """Record what became of files; return the keys of those that are slides, in order.

        A file whose signature is no longer the judged one is left to settle.
        """
        with Session(self._database.writer) as session, session.begin():
            paths = [item.file.path for item in judged]
            rows = {
                row.path: row
                for row in session.scalars(select(WatchedFile).where(WatchedFile.path.in_(paths)))
            }
            current = [
                item
                for item in judged
                if item.file.path in rows and rows[item.file.path].signature == item.file.signature
            ]
            good = [
                (item, item.verdict) for item in current if isinstance(item.verdict, SlideRecord)
            ]
            added = register_slides(session, [record for _, record in good], now)
            for (item, _), slide in zip(good, added, strict=True):
                row = rows[item.file.path]
                row.state, row.slide_id, row.updated_at = "registered", slide.id, now
                row.kind = row.message = row.remedy = None
            for item in current:
                if isinstance(item.verdict, HoverFastError):
                    row = rows[item.file.path]
                    row.state, row.slide_id, row.updated_at = "quarantined", None, now
                    row.kind, row.message = item.verdict.kind, item.verdict.message
                    row.remedy = item.verdict.remedy
            return [slide.key for slide in added]

    def settle_again(self, path: str, signature: str, now: datetime.datetime) -> None:
        """Start over with a file that changed while it was judged."""
        with Session(self._database.writer) as session, session.begin():
            session.execute(
                update(WatchedFile)
                .where(WatchedFile.path == path)
                .values(signature=signature, **_fresh(now))
            )

    def retry_quarantined(self) -> int:
        """Have every quarantined file judged again; return how many there are."""
        now = utc_now()
        with Session(self._database.writer) as session, session.begin():
            ids = session.scalars(
                select(WatchedFile.id).where(WatchedFile.state == "quarantined")
            ).all()
            _set_state(session, ids, "ready", now)
        return len(ids)

    def override_mpp(self, name_or_path: str, mpp: float) -> None:
        """Give the micrometres per pixel of a file, and judge it again with them.

        Raises:
            CatalogueError: If no watched file, or more than one, has that name or path.
        """
        with Session(self._database.writer) as session, session.begin():
            rows = [
                row
                for row in session.scalars(
                    select(WatchedFile).where(
                        WatchedFile.path.endswith(name_or_path, autoescape=True)
                    )
                )
                if row.path == name_or_path or row.path.endswith(f"/{name_or_path}")
            ]
            if len(rows) != 1:
                raise CatalogueError(
                    f"{len(rows)} watched files are called {name_or_path!r}.",
                    "Give the file name or, where several have it, the path.",
                )
            rows[0].mpp_override = mpp
            rows[0].state = "ready"
            rows[0].updated_at = utc_now()

    def quarantined(self) -> tuple[QuarantinedFile, ...]:
        """Files in quarantine, by path."""
        with Session(self._database.reader) as session:
            rows = session.scalars(
                select(WatchedFile)
                .where(WatchedFile.state == "quarantined")
                .order_by(WatchedFile.path)
            )
            return tuple(
                QuarantinedFile(
                    row.path,
                    row.kind or "",
                    row.message or "",
                    row.remedy or "",
                    row.updated_at,
                )
                for row in rows
            )

    def remarks(self) -> tuple[FileRemark, ...]:
        """Files that are missing, hold a slide that another file holds too, or were replaced."""
        return file_remarks(self._database)

    def slide_keys(self) -> tuple[str, ...]:
        """Keys of all slides that a watched file holds or held, in the order they came."""
        with Session(self._database.reader) as session:
            return tuple(
                session.scalars(
                    select(Slide.key)
                    .where(Slide.id.in_(select(WatchedFile.slide_id)))
                    .order_by(Slide.id)
                )
            )

    def returned(self) -> tuple[ReturnedSlide, ...]:
        """Slides whose newest failure was that their file was away, and whose file is there now."""
        with Session(self._database.reader) as session:
            newest = (
                select(SlidePath.slide_id, func.max(Failure.id).label("failure_id"))
                .join(Failure, Failure.path == SlidePath.path)
                .group_by(SlidePath.slide_id)
                .subquery()
            )
            rows = session.execute(
                select(Slide.key, Failure.id, Failure.step, WatchedFile.path)
                .join(newest, newest.c.slide_id == Slide.id)
                .join(Failure, Failure.id == newest.c.failure_id)
                .join(WatchedFile, WatchedFile.slide_id == Slide.id)
                .where(Failure.kind == AbsentSlideError.kind, WatchedFile.state == "registered")
                .order_by(Slide.id)
            )
            return tuple(
                dict.fromkeys(
                    ReturnedSlide(key, id_, step)
                    for key, id_, step, path in rows
                    if Path(path).exists()
                )
            )

    def known_content(self, path: str, signature: str) -> str | None:
        """Digest of a file's content, if it was registered with this very signature."""
        with Session(self._database.reader) as session:
            return session.scalar(
                select(Slide.sha256)
                .join(WatchedFile, WatchedFile.slide_id == Slide.id)
                .where(
                    WatchedFile.path == path,
                    WatchedFile.signature == signature,
                    WatchedFile.state == "registered",
                )
            )


@dataclass
class _Changes:
    """Rows, grouped by what a look at their folder means for them."""

    changed: list[tuple[int, str]] = field(default_factory=list)
    """Rows that changed, each with its new signature."""
    settled: list[int] = field(default_factory=list)
    back: list[int] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)
    forgotten: list[int] = field(default_factory=list)


def _compare(
    rows: Sequence[Any], found: Mapping[str, str], now: datetime.datetime, settle_s: float
) -> _Changes:
    """Compare rows (id, path, signature, state, unchanged_since, slide_id) with what was found."""
    changes = _Changes()
    for row in rows:
        if row.path not in found:
            (changes.gone if row.slide_id else changes.forgotten).append(row.id)
        elif found[row.path] != row.signature:
            changes.changed.append((row.id, found[row.path]))
        elif row.state == "missing":
            changes.back.append(row.id)
        elif row.state == "settling":
            unchanged_s = (now - row.unchanged_since).total_seconds()
            if unchanged_s < 0:  # the clock was set back
                changes.changed.append((row.id, row.signature))
            elif unchanged_s >= settle_s:
                changes.settled.append(row.id)
    return changes


def _fresh(now: datetime.datetime) -> dict[str, object]:
    """The columns of a file that is new or changed."""
    return {
        "state": "settling",
        "unchanged_since": now,
        "updated_at": now,
        "slide_id": None,
        "kind": None,
        "message": None,
        "remedy": None,
    }


def _set_state(session: Session, ids: Sequence[int], state: str, now: datetime.datetime) -> None:
    for chunk in _chunks(ids):
        session.execute(
            update(WatchedFile).where(WatchedFile.id.in_(chunk)).values(state=state, updated_at=now)
        )


def _chunks(items: Sequence[_Item]) -> list[Sequence[_Item]]:
    return [items[i : i + _MAX_VARIABLES] for i in range(0, len(items), _MAX_VARIABLES)]
