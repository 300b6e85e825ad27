"""Where a result came from, as a table in its metadata."""

from __future__ import annotations

import json

import dagster as dg

from hoverfast_platform.storage.summary import Provenance

_COLUMNS = ("what", "which", "digest")


def lineage_table(made_from: Provenance) -> dg.TableMetadataValue:
    """Everything a segmentation was made from, one row each, digests in full."""
    p = made_from
    mpp = f"{p.slide_mpp_x:.4g} um/px from {p.slide_mpp_source}"
    rows = [
        ("slide", f"{p.width_px} x {p.height_px} px, {mpp}", p.slide_sha256),
        ("tissue mask", p.mask_engine, p.mask_sha256),
        ("model", f"{p.model_name} {p.model_version}, {p.model_mpp:g} um/px", p.model_sha256),
        ("labels of the model", "; ".join(p.model_labels), ""),
        ("teacher of the model", p.teacher, ""),
        ("cohort of the model", p.cohort, p.training_set_digest),
        ("settings", json.dumps(p.settings, sort_keys=True), ""),
        ("code", p.code_version, ""),
        ("segmentation", "", p.segmentation_id),
    ]
    return dg.MetadataValue.table(
        records=[
            dg.TableRecord(dict(zip(_COLUMNS, row, strict=True)))
            for row in rows
            if row[1] or row[2]
        ],
        schema=dg.TableSchema([dg.TableColumn(name) for name in _COLUMNS]),
    )
