"""No limits to the length of text, and an index wherever a slide's own rows are looked for.

Only PostgreSQL ever looked at lengths: a name that a workstation took failed on the server.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007_any_text"
down_revision = "0006_slide_appearances"

_LIMITED = {
    "slides": ("sha256", "key", "vendor", "mpp_source"),
    "masks": ("sha256", "engine"),
    "model_versions": ("sha256", "name", "version"),
    "segmentations": (
        "segmentation_id",
        "code_version",
        "device",
        "backend",
        "precision",
        "run_id",
    ),
    "result_files": ("sha256",),
    "failures": ("kind", "run_id"),
    "model_stages": ("scope", "stage"),
    "evaluations": ("dataset_digest", "settings_digest"),
    "cohort_versions": ("name", "digest"),
    "cohort_members": ("patient",),
    "watched_files": ("signature", "state", "kind"),
}
_TABLES_OF_SLIDES = ("slide_paths", "masks", "cohort_members")


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":  # at once: no row is written anew
        for table, columns in _LIMITED.items():
            for column in columns:
                op.alter_column(table, column, type_=sa.Text)
    for table in _TABLES_OF_SLIDES:
        op.create_index(f"ix_{table}_slide_id", table, ["slide_id"])


def downgrade() -> None:
    for table in _TABLES_OF_SLIDES:
        op.drop_index(f"ix_{table}_slide_id", table)
