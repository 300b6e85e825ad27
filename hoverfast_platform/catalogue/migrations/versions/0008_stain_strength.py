"""The strength of a slide's stain in QuPath's densities, and under QuPath's spelling.

What was measured before was in other densities and would compare wrongly, so it is dropped; a
slide's numbers are recorded anew when its nuclei are materialized.
"""

from alembic import op

revision = "0008_stain_strength"
down_revision = "0007_any_text"


def upgrade() -> None:
    op.execute("DELETE FROM slide_appearances")
    op.execute("ALTER TABLE slide_appearances RENAME COLUMN haematoxylin TO hematoxylin")


def downgrade() -> None:
    op.execute("DELETE FROM slide_appearances")
    op.execute("ALTER TABLE slide_appearances RENAME COLUMN hematoxylin TO haematoxylin")
