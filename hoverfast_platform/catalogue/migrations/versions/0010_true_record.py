"""Which result is current, what a model descends from, what was withdrawn, and who made what.

Of results recorded before, the last one finished is current; descent is read out of the cards.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0010_true_record"
down_revision = "0009_provenance"

_FILLED = (
    ("slides", "display_name"),
    ("masks", "run_id"),
    ("model_versions", "run_id"),
    ("evaluations", "run_id"),
    ("cohort_versions", "run_id"),
    ("cohort_versions", "warnings"),
    ("failures", "step"),
)
"""Columns of text that older rows have empty."""

_NEW_TABLES = (
    "withdrawn_items",
    "withdrawals",
    "model_descent",
    "model_labels",
    "model_training_sets",
    "training_set_labels",
    "training_sets",
    "label_sets",
    "current_results",
)


def upgrade() -> None:
    for table, column in _FILLED:
        op.add_column(table, sa.Column(column, sa.Text, nullable=False, server_default=""))
    op.add_column("failures", sa.Column("cohort", sa.Text, nullable=True))
    op.execute(
        "ALTER TABLE failures ADD COLUMN slide_id INTEGER "
        "CONSTRAINT fk_failures_slide_id REFERENCES slides (id)"
    )
    op.create_index("ix_failures_slide_id", "failures", ["slide_id"])
    _make_tables()
    connection = op.get_bind()
    _name_slides(connection)
    _name_models(connection)
    op.create_index("uq_model_versions_name", "model_versions", ["name", "version"], unique=True)
    connection.execute(
        sa.text(
            "UPDATE failures SET slide_id = (SELECT MIN(p.slide_id) FROM slide_paths p "
            "WHERE p.path = failures.path)"
        )
    )
    _find_current_results(connection)
    _find_descent(connection)


def downgrade() -> None:
    for table in _NEW_TABLES:
        op.drop_table(table)
    op.drop_index("uq_model_versions_name", "model_versions")
    op.execute("DELETE FROM model_versions WHERE name = ''")
    op.drop_index("ix_failures_slide_id", "failures")
    for table, column in (*_FILLED, ("failures", "cohort")):
        op.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
    with op.batch_alter_table("failures") as batch:
        batch.drop_column("slide_id")


def _make_tables() -> None:
    _make(
        "current_results",
        *(_to("slide_id", "slides"), _to("segmentation_row_id", "segmentations")),
        *(_text("staining"), _text("settings_digest"), _text("scope")),
        *(_moment("since"), _moment("until", nullable=True)),
    )
    is_current = sa.text("until IS NULL")
    op.create_index(
        "uq_current_results_current",
        "current_results",
        ["slide_id", "staining", "settings_digest"],
        unique=True,
        sqlite_where=is_current,
        postgresql_where=is_current,
    )
    _make(
        "label_sets",
        *(_text("digest"), _text("name"), _text("licence"), _text("citation")),
        sa.UniqueConstraint("digest", name="uq_label_sets_digest"),
    )
    _make(
        "training_sets",
        *(_text("digest"), _text("name"), _text("path", nullable=True), _text("teacher")),
        _to("cohort_version_id", "cohort_versions", nullable=True),
        *(_text("run_id"), _moment("made_at", nullable=True)),
        sa.UniqueConstraint("digest", name="uq_training_sets_digest"),
    )
    _make_pairs("training_set_labels", "training_set", "label_set")
    _make_pairs("model_training_sets", "model_version", "training_set")
    _make_pairs(
        "model_labels",
        "model_version",
        "label_set",
        sa.Column("n_images", sa.Integer, nullable=False),
        sa.Column("n_nuclei", sa.Integer, nullable=False),
        sa.Column("is_inherited", sa.Boolean, nullable=False),
    )
    _make(
        "model_descent",
        *(_to("model_version_id", "model_versions"), _to("ancestor_id", "model_versions")),
        _text("how"),
        sa.UniqueConstraint(
            "model_version_id", "ancestor_id", "how", name="uq_model_descent_model_version_id"
        ),
    )
    _make(
        "withdrawals",
        *(_text("kind"), _text("subject"), _text("reason"), _text("run_id"), _moment("at")),
    )
    _make(
        "withdrawn_items",
        *(_to("withdrawal_id", "withdrawals"), _text("kind"), _text("what")),
        _text("path", nullable=True),
        *(
            _to(f"{name}_id", f"{name}s", nullable=True)
            for name in ("slide", "label_set", "training_set", "model_version")
        ),
        _moment("removed_at", nullable=True),
    )


def _make(table: str, *parts: Any) -> None:
    op.create_table(
        table,
        sa.Column("id", sa.Integer),
        *parts,
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
    )
    for column in parts:
        if isinstance(column, sa.Column) and column.foreign_keys:
            op.create_index(f"ix_{table}_{column.name}", table, [column.name])


def _make_pairs(table: str, left: str, right: str, *more: sa.Column[Any]) -> None:
    _make(
        table,
        *(_to(f"{left}_id", f"{left}s"), _to(f"{right}_id", f"{right}s")),
        *more,
        sa.UniqueConstraint(f"{left}_id", f"{right}_id", name=f"uq_{table}_{left}_id"),
    )


def _to(column: str, table: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(column, sa.Integer, sa.ForeignKey(f"{table}.id"), nullable=nullable)


def _text(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.Text, nullable=nullable)


def _moment(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _name_slides(connection: sa.Connection) -> None:
    """Result files keep the name that they have now: the stem of the slide's newest name."""
    for row in connection.execute(sa.text("SELECT id, name FROM slides")).all():
        _run(
            connection,
            "UPDATE slides SET display_name = :stem WHERE id = :id",
            id=row.id,
            stem=PurePath(row.name).stem,
        )


def _name_models(connection: sa.Connection) -> None:
    """All but the first of several with one name and version get their digest's start, too."""
    seen: set[tuple[str, str]] = set()
    query = "SELECT id, sha256, name, version FROM model_versions ORDER BY id"
    for row in connection.execute(sa.text(query)).all():
        version = row.version
        if (row.name, version) in seen:
            version = f"{version}-{row.sha256[:10]}"
            _run(
                connection,
                "UPDATE model_versions SET version = :version WHERE id = :id",
                id=row.id,
                version=version,
            )
        seen.add((row.name, version))


def _find_current_results(connection: sa.Connection) -> None:
    query = (
        "SELECT id, slide_id, provenance, finished_at FROM segmentations ORDER BY finished_at, id"
    )
    rows = connection.execute(
        sa.text(query).columns(finished_at=sa.DateTime(timezone=True), provenance=sa.JSON)
    ).all()
    until: dict[tuple[int, str, str], Any] = {}
    for row in reversed(rows):
        settings = dict(row.provenance.get("settings", {}))
        staining = dict(settings.pop("staining", {})).get("stain", "he")
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
        key = (row.slide_id, staining, digest)
        _insert(
            connection,
            "current_results",
            slide_id=row.slide_id,
            segmentation_row_id=row.id,
            staining=staining,
            settings_digest=digest,
            scope="default",
            since=row.finished_at,
            until=until.get(key),
        )
        until[key] = row.finished_at


def _find_descent(connection: sa.Connection) -> None:
    query = sa.text("SELECT id, card FROM model_versions ORDER BY id").columns(card=sa.JSON)
    for model, card in connection.execute(query).all():
        for label in card.get("labels", ()):
            known = _label_set(connection, label)
            if not _has(connection, "model_labels", model_version_id=model, label_set_id=known):
                _insert(
                    connection,
                    "model_labels",
                    model_version_id=model,
                    label_set_id=known,
                    n_images=label.get("n_images", 0),
                    n_nuclei=label.get("n_nuclei", 0),
                    is_inherited=False,
                )
        for digest in dict.fromkeys(str(card.get("training_set_digest", "")).split()):
            _insert(
                connection,
                "model_training_sets",
                model_version_id=model,
                training_set_id=_training_set(connection, digest, card),
            )
        for how, sha256 in dict.fromkeys(_ancestors(card)):
            _insert(
                connection,
                "model_descent",
                model_version_id=model,
                ancestor_id=_model_of(connection, sha256),
                how=how,
            )


def _label_set(connection: sa.Connection, label: dict[str, Any]) -> int:
    named = [str(label.get(field, "")) for field in ("name", "licence", "citation")]
    digest = hashlib.sha256(json.dumps(named).encode()).hexdigest()
    others = dict(zip(("name", "licence", "citation"), named, strict=True))
    return _id_of(connection, "label_sets", others, digest=digest)


def _ancestors(card: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for sha256 in str(card.get("parent_digest", "")).split():
        yield "parent", sha256
    for sha256 in re.findall(r"\b[0-9a-f]{64}\b", str(card.get("teacher", ""))):
        yield "teacher", sha256


def _training_set(connection: sa.Connection, digest: str, card: dict[str, Any]) -> int:
    found = re.fullmatch(r"(.+) v([0-9]+)", str(card.get("cohort", "")))
    cohort = None
    if found is not None:
        query = sa.text("SELECT id FROM cohort_versions WHERE name = :name AND version = :version")
        cohort = connection.scalar(query, {"name": found[1], "version": int(found[2])})
    return _id_of(
        connection,
        "training_sets",
        {"name": "", "teacher": "", "run_id": "", "cohort_version_id": cohort},
        digest=digest,
    )


def _model_of(connection: sa.Connection, sha256: str) -> int:
    """A model that is only known by its digest has no name."""
    stub = {"name": "", "version": sha256, "card": "{}", "run_id": ""}
    return _id_of(connection, "model_versions", stub, sha256=sha256)


def _id_of(
    connection: sa.Connection, table: str, others: dict[str, Any] | None = None, **key: Any
) -> int:
    """The row with this key; made with the other values if there is none."""
    found = _has(connection, table, **key)
    if found is None:
        _insert(connection, table, **key, **(others or {}))
        found = _has(connection, table, **key)
    assert found is not None
    return found


def _has(connection: sa.Connection, table: str, **key: Any) -> int | None:
    where = " AND ".join(f"{name} = :{name}" for name in key)
    query = sa.text(f"SELECT id FROM {table} WHERE {where}")
    found: int | None = connection.scalar(query, key)
    return found


def _insert(connection: sa.Connection, table: str, **values: Any) -> None:
    names, bound = ", ".join(values), ", ".join(f":{name}" for name in values)
    query = sa.text(f"INSERT INTO {table} ({names}) VALUES ({bound})")
    moments = [sa.bindparam(n, type_=sa.DateTime(timezone=True)) for n in values if n in _MOMENTS]
    connection.execute(query.bindparams(*moments), values)


def _run(connection: sa.Connection, query: str, **values: Any) -> None:
    connection.execute(sa.text(query), values)


_MOMENTS = ("since", "until")
