"""When a finished result was found again, apart from when it was computed.

Until now finding it again renewed ``finished_at``; rows of before keep what they have.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012_found_again"
down_revision = "0011_views"

_OPEN_FAILURES = """
    SELECT s.key AS slide, f.cohort, f.step, f.kind, f.message, f.remedy, f.run_id, f.at
    FROM failures f
    LEFT JOIN slides s ON s.id = f.slide_id
    WHERE f.id = (SELECT MAX(g.id) FROM failures g
                  WHERE (g.slide_id = f.slide_id OR (g.slide_id IS NULL
                         AND f.slide_id IS NULL AND g.cohort = f.cohort)
                         OR g.path = f.path))
      AND NOT EXISTS (SELECT 1 FROM segmentations d
                      WHERE d.slide_id = f.slide_id AND {done_at} > f.at)
      AND NOT EXISTS (SELECT 1 FROM cohort_versions v
                      LEFT JOIN training_sets t ON t.cohort_version_id = v.id
                      WHERE v.name = f.cohort
                        AND (v.created_at > f.at
                             OR (f.step = 'teacher_labels' AND t.made_at > f.at)))
"""


def upgrade() -> None:
    found_again = sa.Column("found_again_at", sa.DateTime(timezone=True), nullable=True)
    op.add_column("segmentations", found_again)
    _replace_view("COALESCE(d.found_again_at, d.finished_at)")


def downgrade() -> None:
    _replace_view("d.finished_at")
    op.execute("ALTER TABLE segmentations DROP COLUMN found_again_at")


def _replace_view(done_at: str) -> None:
    op.execute("DROP VIEW open_failures")
    op.execute(f"CREATE VIEW open_failures AS {_OPEN_FAILURES.format(done_at=done_at)}")
