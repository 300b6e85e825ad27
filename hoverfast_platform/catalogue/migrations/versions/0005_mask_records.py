"""Record of a mask: its file, and what the file says of itself (statistics, settings, warnings)."""

import sqlalchemy as sa
from alembic import op

revision = "0005_mask_records"
down_revision = "0004_watched_files"


def upgrade() -> None:
    op.add_column("masks", sa.Column("path", sa.Text, nullable=True))
    op.add_column("masks", sa.Column("record", sa.JSON, nullable=True))
    op.add_column("masks", sa.Column("made_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    for column in ("made_at", "record", "path"):
        op.drop_column("masks", column)
