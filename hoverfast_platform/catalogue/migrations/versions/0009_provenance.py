"""What a segmentation was made from as one value, the one that its files hold.

Rows of before get what the catalogue knew of them, under schema version 1: it did not know how the
slide's file frames its pixels, nor in which precision statistics were taken.
"""

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0009_provenance"
down_revision = "0008_stain_strength"

_WAS = ("settings", "code_version", "device", "backend", "precision")
_KNOWN = """
    SELECT g.id, g.segmentation_id, g.settings, g.code_version, g.device, g.backend, g."precision",
           s.sha256 AS slide, s.mpp_x, s.mpp_y, s.mpp_source, s.width_px, s.height_px,
           k.engine AS mask_engine, k.sha256 AS mask,
           m.name, m.version, m.sha256 AS model, m.card
    FROM segmentations g
    JOIN slides s ON s.id = g.slide_id
    JOIN masks k ON k.id = g.mask_id
    JOIN model_versions m ON m.id = g.model_version_id
"""


_ROWS = sa.table(
    "segmentations",
    sa.column("id", sa.Integer),
    sa.column("provenance", sa.JSON),
    sa.column("settings", sa.JSON),
    *(sa.column(name, sa.Text) for name in _WAS if name != "settings"),
)


def upgrade() -> None:
    op.add_column("segmentations", _new("provenance", sa.JSON, "{}"))
    connection = op.get_bind()
    rows = connection.execute(sa.text(_KNOWN)).mappings().all()
    for row in rows:
        _set(connection, row["id"], provenance=_provenance(row))
    for column in _WAS:
        _drop(column)


def downgrade() -> None:
    for column in _WAS:
        is_json = column == "settings"
        op.add_column(
            "segmentations", _new(column, *((sa.JSON, "{}") if is_json else (sa.Text, "")))
        )
    connection = op.get_bind()
    found = connection.execute(sa.text("SELECT id, provenance FROM segmentations")).all()
    for number, value in found:
        made_from = _plain(value)
        arithmetic = made_from["arithmetic"]
        _set(
            connection,
            number,
            settings=made_from["settings"],
            code_version=made_from["code_version"],
            **{name: arithmetic[name] for name in ("device", "backend", "precision")},
        )
    _drop("provenance")


def _new(name: str, kind: type[sa.JSON | sa.Text], filled: str) -> sa.Column[Any]:
    """Filled at first: SQLite adds no other column that must not be null."""
    return sa.Column(name, kind, nullable=False, server_default=filled)


def _drop(column: str) -> None:
    """In place: files refer to the rows of this table, so it cannot be made anew."""
    op.execute(f'ALTER TABLE segmentations DROP COLUMN "{column}"')


def _set(connection: sa.Connection, number: int, **values: Any) -> None:
    connection.execute(_ROWS.update().where(_ROWS.c.id == number).values(**values))


def _provenance(row: sa.RowMapping) -> dict[str, Any]:
    card = _plain(row["card"])
    labels = card.get("labels", [])
    return {
        "schema_version": 1,
        "segmentation_id": row["segmentation_id"],
        "slide": {
            "sha256": row["slide"],
            **{name: row[name] for name in ("mpp_x", "mpp_y", "mpp_source")},
            **{"frame": "unknown", "origin_px": [0, 0]},
            **{name: row[name] for name in ("width_px", "height_px")},
        },
        "mask": {"engine": row["mask_engine"], "sha256": row["mask"]},
        "model": {
            "name": row["name"],
            "version": row["version"],
            "sha256": row["model"],
            "mpp": card.get("mpp", 0.25),  # what a card means that does not say
            "appearance": card.get("appearance", {}),
            "statistics_share": card.get("statistics_share", 0.0),
            "labels": [f"{label['name']} ({label['licence']})" for label in labels],
            **{name: card.get(name, "") for name in ("teacher", "cohort", "training_set_digest")},
        },
        "arithmetic": {
            **{name: row[name] for name in ("device", "backend", "precision")},
            "maps": f"{row['backend']} {row['precision']}",
            "statistics": "unknown",
        },
        "settings": _plain(row["settings"]),
        "code_version": row["code_version"],
    }


def _plain(value: Any) -> dict[str, Any]:
    """JSON of a row: text in SQLite, already read in PostgreSQL."""
    plain: dict[str, Any] = json.loads(value) if isinstance(value, str) else value
    return plain
