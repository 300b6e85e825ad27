"""Slides: known by content, where their files are now, their masks and what they look like."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from hoverfast_platform.catalogue.database import Database
from hoverfast_platform.catalogue.records import (
    AppearanceRecord,
    KnownSlide,
    SlideRecord,
    TissueMaskRecord,
)
from hoverfast_platform.catalogue.rows import (
    find_or_add_mask,
    find_slide,
    gone_slides,
    known_slide,
    register_slides,
    utc_now,
)
from hoverfast_platform.catalogue.tables import (
    CohortMember,
    CohortVersion,
    Mask,
    Slide,
    SlideAppearance,
    WatchedFile,
)
from hoverfast_platform.errors import CatalogueError

N_COMPANIONS = 500
"""With how many of the newest slides one is compared: enough for medians, quick in an archive."""


class Slides:
    """All reads and writes about slides; a slide's key is readable, unique and stable.

    Every method that takes a key raises a ``CatalogueError`` if no slide has it.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def register(self, record: SlideRecord) -> str:
        """Add a slide, or record where a known one is now; return its key."""
        with Session(self._database.writer) as session, session.begin():
            return register_slides(session, [record], utc_now())[0].key

    def all(self) -> tuple[KnownSlide, ...]:
        """All registered slides, in order of key."""
        with Session(self._database.reader) as session:
            rows = session.scalars(select(Slide).order_by(Slide.key)).all()
            gone = gone_slides(session)
            return tuple(known_slide(row, gone) for row in rows)

    def path(self, key: str) -> Path:
        """A file that holds the slide now.

        Raises:
            CatalogueError: If no slide has the key, its file is known to have changed, or it was
                withdrawn.
        """
        with Session(self._database.reader) as session:
            slide = find_slide(session, key)
            if slide.id in gone_slides(session).withdrawn:
                raise CatalogueError(
                    f"The slide {key} was withdrawn and must not be used any more.",
                    "The withdrawals of the catalogue say why. Remove its file.",
                )
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
                    "The new content is a slide of its own, with its own partition. To work with "
                    "the old one, put its file back.",
                )
            return Path(slide.path)

    def last_path(self, key: str) -> Path:
        """Where the slide was last seen, whatever is there now."""
        with Session(self._database.reader) as session:
            return Path(find_slide(session, key).path)

    def display_name(self, sha256: str) -> str | None:
        """The stem of the result files of the slide with this content; None if it is not known yet.

        It stays the same when the slide's file is renamed or copied.
        """
        with Session(self._database.reader) as session:
            return session.scalar(select(Slide.display_name).where(Slide.sha256 == sha256))

    def digest(self, key: str) -> str:
        """SHA-256 of the content registered under a key."""
        with Session(self._database.reader) as session:
            return find_slide(session, key).sha256

    def mpp(self, key: str) -> float:
        """Micrometres per level-0 pixel."""
        with Session(self._database.reader) as session:
            return find_slide(session, key).mpp_x

    def mpp_override(self, key: str) -> float | None:
        """Micrometres per pixel that a person gave for a slide; None if the file's own are used."""
        with Session(self._database.reader) as session:
            slide = find_slide(session, key)
            return slide.mpp_x if slide.mpp_source == "override" else None

    def record_mask(self, key: str, made: TissueMaskRecord) -> None:
        """Record a mask that was made or imported; the same pixels made again renew their row."""
        with Session(self._database.writer) as session, session.begin():
            mask = find_or_add_mask(
                session, find_slide(session, key), made.sha256, self._database.run_id
            )
            mask.engine, mask.tissue_area_mm2 = made.engine, made.tissue_area_mm2
            mask.path, mask.record, mask.made_at = made.path, made.record, utc_now()

    def masks(self, key: str) -> tuple[TissueMaskRecord, ...]:
        """Masks of a slide that were made or imported here, newest first."""
        with Session(self._database.reader) as session:
            rows = session.scalars(
                select(Mask)
                .where(Mask.slide_id == find_slide(session, key).id, Mask.path.is_not(None))
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

    def record_appearance(self, key: str, appearance: AppearanceRecord) -> None:
        """Record what a slide looks like in numbers; this replaces what was recorded before."""
        with Session(self._database.writer) as session, session.begin():
            slide = find_slide(session, key)
            row = session.scalar(
                select(SlideAppearance).where(SlideAppearance.slide_id == slide.id)
            )
            if row is None:
                row = SlideAppearance(slide_id=slide.id)
                session.add(row)
            row.hematoxylin, row.eosin = appearance.hematoxylin, appearance.eosin
            row.nuclei_per_mm2, row.at = appearance.nuclei_per_mm2, utc_now()

    def companions(self, key: str) -> tuple[str, tuple[AppearanceRecord, ...]]:
        """The newest other slides of a slide's cohort, or of the platform, and a name for them.

        If the slide is in several cohorts, the one whose newest version is the youngest counts.
        """
        with Session(self._database.reader) as session:
            slide = find_slide(session, key)
            newest = (
                select(func.max(CohortVersion.id).label("id"))
                .group_by(CohortVersion.name)
                .subquery()
            )
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
                members = select(CohortMember.slide_id).where(
                    CohortMember.cohort_version_id == cohort.id
                )
                others = others.where(SlideAppearance.slide_id.in_(members))
            name = f"cohort {cohort.name} v{cohort.version}" if cohort is not None else "all slides"
            rows = session.execute(
                others.order_by(SlideAppearance.slide_id.desc()).limit(N_COMPANIONS)
            )
            return name, tuple(AppearanceRecord(*row) for row in rows)
