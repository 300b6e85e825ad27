"""Where a result came from, as a table in its metadata."""

from __future__ import annotations

import dagster as dg

from hoverfast_platform.provenance import Provenance

_COLUMNS = ("what", "which", "digest")


def lineage_table(made_from: Provenance) -> dg.TableMetadataValue:
    """Everything a segmentation was made from, one row each, digests in full."""
    slide, mask, model = made_from.slide, made_from.mask, made_from.model
    mpp = f"{slide.mpp_x:.4g} um/px from {slide.mpp_source}"
    rows = [
        ("slide", f"{slide.width_px} x {slide.height_px} px, {mpp}", slide.sha256),
        ("tissue mask", mask.engine if mask else "", mask.sha256 if mask else ""),
        ("model", f"{model.title}, {model.mpp:g} um/px", model.sha256),
        ("labels of the model", "; ".join(model.labels), ""),
        ("teacher of the model", model.teacher, ""),
        ("cohort of the model", model.cohort, model.training_set_digest),
        ("arithmetic", str(made_from.arithmetic), ""),
        ("code", made_from.code_version, ""),
        ("segmentation", "", made_from.segmentation_id),
    ]
    return dg.MetadataValue.table(
        records=[
            dg.TableRecord(dict(zip(_COLUMNS, row, strict=True)))
            for row in rows
            if row[1] or row[2]
        ],
        schema=dg.TableSchema([dg.TableColumn(name) for name in _COLUMNS]),
    )
