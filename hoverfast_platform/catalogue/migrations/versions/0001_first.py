"""Slides, masks, model versions, segmentations, their files, failures."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "slides",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("key", sa.String(200), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("vendor", sa.String(40), nullable=False),
        sa.Column("width_px", sa.Integer, nullable=False),
        sa.Column("height_px", sa.Integer, nullable=False),
        sa.Column("mpp_x", sa.Double, nullable=False),
        sa.Column("mpp_y", sa.Double, nullable=False),
        sa.Column("mpp_source", sa.String(20), nullable=False),
        sa.Column("first_seen", sa.DateTime(timezone=True), nullable=False),
        sa.UniqueConstraint("sha256", name="uq_slides_sha256"),
        sa.UniqueConstraint("key", name="uq_slides_key"),
    )
    op.create_table(
        "slide_paths",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("slide_id", sa.Integer, sa.ForeignKey("slides.id"), nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("first_seen", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "masks",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("slide_id", sa.Integer, sa.ForeignKey("slides.id"), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("engine", sa.String(20), nullable=False),
        sa.Column("tissue_area_mm2", sa.Double, nullable=False),
    )
    op.create_index("ix_masks_sha256", "masks", ["sha256"])
    op.create_table(
        "model_versions",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("version", sa.String(100), nullable=False),
        sa.Column("card", sa.JSON, nullable=False),
        sa.UniqueConstraint("sha256", name="uq_model_versions_sha256"),
    )
    op.create_table(
        "segmentations",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("segmentation_id", sa.String(64), nullable=False),
        sa.Column("slide_id", sa.Integer, sa.ForeignKey("slides.id"), nullable=False),
        sa.Column("mask_id", sa.Integer, sa.ForeignKey("masks.id"), nullable=False),
        sa.Column(
            "model_version_id", sa.Integer, sa.ForeignKey("model_versions.id"), nullable=False
        ),
        sa.Column("settings", sa.JSON, nullable=False),
        sa.Column("code_version", sa.String(40), nullable=False),
        sa.Column("device", sa.String(40), nullable=False),
        sa.Column("backend", sa.String(40), nullable=False),
        sa.Column("precision", sa.String(10), nullable=False),
        sa.Column("run_id", sa.String(100), nullable=False),
        sa.Column("n_nuclei", sa.Integer, nullable=False),
        sa.Column("seconds_per_mm2", sa.Double, nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=False),
        sa.UniqueConstraint("segmentation_id", name="uq_segmentations_segmentation_id"),
    )
    op.create_index("ix_segmentations_slide_id", "segmentations", ["slide_id"])
    op.create_table(
        "result_files",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column(
            "segmentation_row_id", sa.Integer, sa.ForeignKey("segmentations.id"), nullable=False
        ),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
    )
    op.create_index("ix_result_files_segmentation_row_id", "result_files", ["segmentation_row_id"])
    op.create_index("ix_result_files_sha256", "result_files", ["sha256"])
    op.create_table(
        "failures",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("remedy", sa.Text, nullable=False),
        sa.Column("run_id", sa.String(100), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    )


def downgrade() -> None:
    for table in (
        "failures",
        "result_files",
        "segmentations",
        "model_versions",
        "masks",
        "slide_paths",
        "slides",
    ):
        op.drop_table(table)
