"""What slides look like in numbers, to tell those that differ from their cohort."""

import sqlalchemy as sa
from alembic import op

revision = "0006_slide_appearances"
down_revision = "0005_mask_records"


def upgrade() -> None:
    op.create_table(
        "slide_appearances",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("slide_id", sa.Integer, nullable=False),
        sa.Column("haematoxylin", sa.Double, nullable=False),
        sa.Column("eosin", sa.Double, nullable=False),
        sa.Column("nuclei_per_mm2", sa.Double, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_slide_appearances"),
        sa.ForeignKeyConstraint(["slide_id"], ["slides.id"], name="fk_slide_appearances_slide_id"),
        sa.UniqueConstraint("slide_id", name="uq_slide_appearances_slide_id"),
    )


def downgrade() -> None:
    op.drop_table("slide_appearances")
