"""Which result is a slide's current one; the former ones are history, not forgotten.

These functions work in a database session that the caller has begun.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from hoverfast_platform.catalogue.records import CurrentResult as CurrentRecord
from hoverfast_platform.catalogue.rows import gone_slides, known_slide
from hoverfast_platform.catalogue.tables import CurrentResult, ModelVersion, Segmentation, Slide
from hoverfast_platform.files import text_sha256


def make_current(
    session: Session,
    row: Segmentation,
    settings: Mapping[str, object],
    scope: str,
    at: datetime.datetime,
) -> None:
    """Let a segmentation be its slide's result from now on; the one before it ends.

    Args:
        session: The session that writes.
        row: The row of the segmentation.
        settings: What it was made with, as its provenance has them.
        scope: The scope whose model was asked to make it.
        at: The present moment.
    """
    staining, digest = staining_and_settings(settings)
    newest = session.scalar(
        select(CurrentResult)
        .where(CurrentResult.slide_id == row.slide_id, CurrentResult.until.is_(None))
        .order_by(CurrentResult.since.desc(), CurrentResult.id.desc())
        .limit(1)
    )
    if newest is not None and (newest.segmentation_row_id, newest.scope) == (row.id, scope):
        return
    session.execute(
        update(CurrentResult)
        .where(
            CurrentResult.slide_id == row.slide_id,
            CurrentResult.staining == staining,
            CurrentResult.settings_digest == digest,
            CurrentResult.until.is_(None),
        )
        .values(until=at)
    )
    session.add(
        CurrentResult(
            slide_id=row.slide_id,
            segmentation_row_id=row.id,
            staining=staining,
            settings_digest=digest,
            scope=scope,
            since=at,
        )
    )


def staining_and_settings(settings: Mapping[str, object]) -> tuple[str, str]:
    """The stain that settings name, and the digest of the others."""
    others = {name: value for name, value in settings.items() if name != "staining"}
    staining = settings.get("staining")
    stain = staining.get("stain", "he") if isinstance(staining, Mapping) else "he"
    return str(stain), text_sha256(json.dumps(others, sort_keys=True))


def current_results(session: Session) -> tuple[CurrentRecord, ...]:
    """The newest current result of every slide, in the order slides came."""
    rows = session.execute(
        select(
            Slide,
            Segmentation.segmentation_id,
            ModelVersion.sha256,
            CurrentResult.scope,
            CurrentResult.staining,
            Segmentation.n_nuclei,
            CurrentResult.since,
        )
        .join(CurrentResult, CurrentResult.slide_id == Slide.id)
        .join(Segmentation, Segmentation.id == CurrentResult.segmentation_row_id)
        .join(ModelVersion, ModelVersion.id == Segmentation.model_version_id)
        .where(CurrentResult.until.is_(None))
        .order_by(Slide.id, CurrentResult.since, CurrentResult.id)
    ).all()
    gone = gone_slides(session)
    newest = {row[0].id: row for row in rows}  # the last one wins
    return tuple(
        CurrentRecord(
            slide=known_slide(slide, gone),
            segmentation_id=identity,
            model_sha256=model,
            scope=scope,
            staining=staining,
            n_nuclei=n_nuclei,
            since=since,
        )
        for slide, identity, model, scope, staining, n_nuclei, since in newest.values()
    )
