"""What a model version counts as and since when, where its weights are, what it was measured on."""

import sqlalchemy as sa
from alembic import op

revision = "0002_model_stages"
down_revision = "0001"

_IS_CURRENT = sa.text("left_at IS NULL")
_IS_PROMOTED_NOW = sa.text("stage = 'promoted' AND left_at IS NULL")


def upgrade() -> None:
    op.add_column("model_versions", sa.Column("path", sa.Text, nullable=True))
    op.create_table(
        "model_stages",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column(
            "model_version_id", sa.Integer, sa.ForeignKey("model_versions.id"), nullable=False
        ),
        sa.Column("scope", sa.String(200), nullable=False),
        sa.Column("stage", sa.String(20), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("verdict", sa.JSON, nullable=True),
        sa.Column("entered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("left_at", sa.DateTime(timezone=True), nullable=True),
    )
    op.create_index(
        "uq_model_stages_current",
        "model_stages",
        ["model_version_id", "scope"],
        unique=True,
        sqlite_where=_IS_CURRENT,
        postgresql_where=_IS_CURRENT,
    )
    op.create_index(
        "uq_model_stages_promoted",
        "model_stages",
        ["scope"],
        unique=True,
        sqlite_where=_IS_PROMOTED_NOW,
        postgresql_where=_IS_PROMOTED_NOW,
    )
    op.create_table(
        "evaluations",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column(
            "model_version_id", sa.Integer, sa.ForeignKey("model_versions.id"), nullable=False
        ),
        sa.Column("dataset", sa.Text, nullable=False),
        sa.Column("dataset_digest", sa.String(64), nullable=False),
        sa.Column("settings_digest", sa.String(64), nullable=False),
        sa.Column("summary", sa.JSON, nullable=False),
        sa.Column("report_path", sa.Text, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_evaluations_model_version_id", "evaluations", ["model_version_id"])


def downgrade() -> None:
    op.drop_table("evaluations")
    op.drop_table("model_stages")
    with op.batch_alter_table("model_versions") as batch:
        batch.drop_column("path")
