"""Cohorts: which slides, of which patients, in which version."""

import sqlalchemy as sa
from alembic import op

revision = "0003_cohorts"
down_revision = "0002_model_stages"


def upgrade() -> None:
    op.create_table(
        "cohort_versions",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("plan", sa.JSON, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.UniqueConstraint("name", "version", name="uq_cohort_versions_name"),
    )
    op.create_table(
        "cohort_members",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column(
            "cohort_version_id", sa.Integer, sa.ForeignKey("cohort_versions.id"), nullable=False
        ),
        sa.Column("slide_id", sa.Integer, sa.ForeignKey("slides.id"), nullable=False),
        sa.Column("patient", sa.String(200), nullable=False),
    )
    op.create_index("ix_cohort_members_cohort_version_id", "cohort_members", ["cohort_version_id"])


def downgrade() -> None:
    op.drop_table("cohort_members")
    op.drop_table("cohort_versions")
