"""What the UI shows of a slide's nuclei: pictures, figures, files, and what it was made from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from hoverfast_platform.assets.lineage_table import lineage_table
from hoverfast_platform.assets.pictures import inline_picture

if TYPE_CHECKING:
    from hoverfast_platform.arrays import RgbImage
    from hoverfast_platform.catalogue import AppearanceRecord
    from hoverfast_platform.inference.segment_slide import SegmentedSlide
    from hoverfast_platform.storage.summary import SegmentationSummary


def nuclei_metadata(done: SegmentedSlide, appearance: AppearanceRecord | None) -> dict[str, Any]:
    """Pictures first, then what is plotted over time, files, and how it was made.

    Args:
        done: The result.
        appearance: What the slide looks like; None without tissue.
    """
    import numpy as np
    from PIL import Image

    summary = done.summary
    with Image.open(done.preview_path) as preview:
        picture = inline_picture(np.asarray(preview), "nuclei")
    metadata: dict[str, Any] = {"overlay": picture}
    if summary.nuclei_per_mm2 is not None:
        metadata["density"] = inline_picture(_density(done), "nuclei per mm2")
    metadata |= {
        "n_nuclei": summary.n_nuclei,
        "tissue_area_mm2": round(summary.tissue_area_mm2, 4),
    }
    if summary.nuclei_per_mm2 is not None:
        metadata["nuclei_per_mm2"] = round(summary.nuclei_per_mm2, 1)
    if summary.seconds_per_mm2 is not None:
        metadata["seconds_per_mm2"] = round(summary.seconds_per_mm2, 2)
    if appearance is not None:
        metadata["hematoxylin_od"] = round(appearance.hematoxylin, 4)
        metadata["eosin_od"] = round(appearance.eosin, 4)
    if summary.dab is not None and summary.dab.h_score is not None:
        metadata["h_score"] = round(summary.dab.h_score, 1)
        metadata["positive_fraction"] = round(summary.dab.positive_fraction or 0.0, 4)
    if summary.warnings:
        metadata["warnings"] = "\n".join(summary.warnings)
    return metadata | {
        "qupath_file": _path(done.qupath_path),
        "table": _path(done.table_path),
        **_of_table(done.table_path, summary.n_nuclei),
        "preview": _path(done.preview_path),
        "n_duplicates_at_seams": summary.seams.n_duplicates,
        "model": summary.provenance.model.title,
        "device": str(summary.provenance.arithmetic),
        "seconds": _seconds(summary),
        "lineage": lineage_table(summary.provenance),
        "settings": dg.MetadataValue.json(dict(summary.provenance.settings)),
        "segmentation_id": summary.provenance.segmentation_id,
    }


def _seconds(summary: SegmentationSummary) -> dg.TableMetadataValue:
    """By step; steps overlap, so they add up to more than the total."""
    area = summary.tissue_area_mm2
    return dg.MetadataValue.table(
        records=[
            dg.TableRecord(
                {
                    "step": step,
                    "seconds": round(seconds, 2),
                    "s_per_mm2": round(seconds / area, 2) if area else None,
                }
            )
            for step, seconds in sorted(summary.seconds.items(), key=lambda item: -item[1])
        ],
        schema=dg.TableSchema(
            [
                dg.TableColumn("step"),
                dg.TableColumn("seconds", "float"),
                dg.TableColumn("s_per_mm2", "float"),
            ]
        ),
    )


def _density(done: SegmentedSlide) -> RgbImage:
    from hoverfast_platform.storage.nuclei_table import read_nuclei_table
    from hoverfast_platform.storage.previews import draw_density_of

    info = done.slide_info
    centroids = read_nuclei_table(done.table_path).centroid_xy
    return draw_density_of(centroids, width_px=info.width, height_px=info.height, mpp=info.mpp)


def _of_table(path: Path, n_nuclei: int) -> dict[str, Any]:
    """Rows, place and columns of the table, by the names that Dagster plots, links and searches."""
    from hoverfast_platform.storage.nuclei_table import column_types

    columns = [dg.TableColumn(name, kind) for name, kind in column_types(path).items()]
    return {
        "dagster/row_count": n_nuclei,
        "dagster/uri": path.absolute().as_uri(),
        "dagster/column_schema": dg.MetadataValue.table_schema(dg.TableSchema(columns)),
    }


def _path(path: Path) -> dg.PathMetadataValue:
    return dg.MetadataValue.path(str(path))
