"""Slide files in watched folders, on their way into the catalogue or in quarantine."""

import sqlalchemy as sa
from alembic import op

revision = "0004_watched_files"
down_revision = "0003_cohorts"


def upgrade() -> None:
    op.create_table(
        "watched_files",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("root", sa.Text, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("signature", sa.String(100), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("unchanged_since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("slide_id", sa.Integer, sa.ForeignKey("slides.id"), nullable=True),
        sa.Column("mpp_override", sa.Double, nullable=True),
        sa.Column("kind", sa.String(40), nullable=True),
        sa.Column("message", sa.Text, nullable=True),
        sa.Column("remedy", sa.Text, nullable=True),
        sa.UniqueConstraint("path", name="uq_watched_files_path"),
    )
    op.create_index("ix_watched_files_root", "watched_files", ["root"])
    op.create_index("ix_watched_files_state", "watched_files", ["state"])
    op.create_index("ix_watched_files_slide_id", "watched_files", ["slide_id"])


def downgrade() -> None:
    op.drop_table("watched_files")
