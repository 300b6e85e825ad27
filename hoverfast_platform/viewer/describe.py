"""What the page is told of slides, results and nuclei, as values for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hoverfast_platform.checks.finding import CheckFinding
from hoverfast_platform.checks.policy import CheckPolicy
from hoverfast_platform.checks.rules import check_density, check_seams
from hoverfast_platform.errors import MaskError, StorageError
from hoverfast_platform.ingest.names import printable
from hoverfast_platform.nuclei.nucleus import MEASUREMENTS
from hoverfast_platform.provenance import Provenance
from hoverfast_platform.storage.summary import SegmentationSummary
from hoverfast_platform.viewer.colours import shades
from hoverfast_platform.viewer.library import Exhibit, Library
from hoverfast_platform.viewer.masks import describe_left_out, judge_mask
from hoverfast_platform.viewer.pixels import TILE_PX, n_zooms
from hoverfast_platform.viewer.showroom import MOST_ZOOMED_OUT, OpenExhibit

_DEFINITIONS = {m.column: m for m in MEASUREMENTS}


def list_exhibits(library: Library) -> dict[str, Any]:
    """All slides with their figures, and the failures, for the list of the page."""
    return {
        "folder": printable(library.root),
        "slides": [_entry(exhibit, library) for exhibit in library.exhibits],
        "failures": [
            {
                "name": printable(failure.path),
                "kind": failure.kind,
                "message": printable(failure.message),
                "remedy": failure.remedy,
            }
            for failure in library.failures
        ],
    }


def _failed_checks(
    exhibit: Exhibit, summary: SegmentationSummary | None, policy: CheckPolicy
) -> list[str]:
    """The failed checks, of those that need only the mask's record and the summary."""
    found: dict[str, CheckFinding | None] = {}
    if exhibit.mask_path is not None:
        try:
            found["mask"] = judge_mask(exhibit.mask_path, policy.mask)
        except MaskError as error:
            return [f"mask: {error}"]
    if summary is not None:
        found["density"] = check_density(summary, policy.density)
        found["seams"] = check_seams(summary, policy.seams)
    return [
        f"{name}: {finding.text}"
        for name, finding in found.items()
        if finding is not None and not finding.passed and finding.severity != "off"
    ]


def _failed_steps(exhibit: Exhibit, library: Library) -> list[str]:
    """What the catalogue says went wrong with this slide, newest first."""
    return [
        printable(f"{failure.step or 'segmentation'}: {failure.message} {failure.remedy}".strip())
        for failure in library.failures
        if exhibit.slide_key and failure.slide_key == exhibit.slide_key
    ]


def _entry(exhibit: Exhibit, library: Library) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "key": exhibit.key,
        "name": printable(exhibit.name),
        "title": printable(exhibit.title),
        "has_slide": exhibit.slide_path is not None,
        "slide": exhibit.slide_sha256,
        "n_nuclei": None,
        "problem": "",
        "failures": _failed_steps(exhibit, library),
    }
    try:
        summary = exhibit.summary()
    except StorageError as error:
        return entry | {"problem": str(error)}
    entry["checks"] = _failed_checks(exhibit, summary, library.policy)
    if summary is not None:
        entry |= {
            "n_nuclei": summary.n_nuclei,
            "nuclei_per_mm2": summary.nuclei_per_mm2,
            "finished_at": summary.finished_at,
            "warnings": list(summary.warnings),
        }
    return entry


def describe_exhibit(
    shown: OpenExhibit,
    library: Library,
    others: Sequence[Exhibit],
    *,
    problem: str,
    may_write: bool,
) -> dict[str, Any]:
    """Everything that the page needs before it asks for pixels."""
    width, height = shown.size_px
    summary = shown.summary
    return {
        **_entry(shown.exhibit, library),
        "problem": printable(problem),
        "width": width,
        "height": height,
        "mpp": list(shown.mpp),
        "tile_px": TILE_PX,
        "n_zooms": n_zooms(width, height),
        "outline_zooms": MOST_ZOOMED_OUT,
        "shades": shades().tolist(),
        "has_mask": shown.exhibit.mask_path is not None,
        "left_out": describe_left_out(shown.exhibit.mask_path),
        "may_write": may_write,
        "others": [{"key": one.key, "title": printable(one.title)} for one in others],
        "result": None if summary is None else _result(summary),
    }


def _result(summary: SegmentationSummary) -> dict[str, Any]:
    return {
        "id": summary.provenance.segmentation_id,
        "measurements": [
            {
                "column": column,
                "name": _name(column),
                "definition": _DEFINITIONS[column].definition if column in _DEFINITIONS else "",
                **distribution.model_dump(),
            }
            for column, distribution in summary.distributions.items()
        ],
        "tissue_area_mm2": summary.tissue_area_mm2,
        "seams": summary.seams.model_dump(),
        "tile_step_px": _tile_step(summary.provenance),
        "warnings": list(summary.warnings),
        "lineage": _lineage(summary),
    }


def _name(column: str) -> str:
    return _DEFINITIONS[column].qupath_name if column in _DEFINITIONS else column


def _tile_step(made_from: Provenance) -> list[float]:
    """Size of the largest tile in which the result was predicted, level-0 pixels, (x, y)."""
    tiling = made_from.settings.get("tiling")
    size = tiling.get("tile_size_px") if isinstance(tiling, dict) else None
    if not isinstance(size, int):
        return []
    return [
        size * made_from.model.mpp / made_from.slide.mpp_x,
        size * made_from.model.mpp / made_from.slide.mpp_y,
    ]


def _lineage(summary: SegmentationSummary) -> list[list[str]]:
    """What the result was made from, line by line."""
    made_from, mask = summary.provenance, summary.provenance.mask
    arithmetic = made_from.arithmetic
    lines = {
        "slide (SHA-256)": made_from.slide.sha256,
        "micrometres per pixel": f"{made_from.slide.mpp_x:g} ({made_from.slide.mpp_source})",
        "mask": "" if mask is None else f"{mask.engine}, {mask.sha256[:16]}",
        "model": f"{made_from.model.name} {made_from.model.version}",
        "model (SHA-256)": made_from.model.sha256,
        "learned from": "; ".join(made_from.model.labels),
        "teacher": made_from.model.teacher,
        "cohort": made_from.model.cohort,
        "device": f"{arithmetic.device} ({arithmetic.backend} {arithmetic.precision})",
        "run": summary.run_id,
        "finished": summary.finished_at,
        "program": made_from.code_version,
        "segmentation": made_from.segmentation_id,
    }
    return [[name, printable(text)] for name, text in lines.items() if text]


def describe_nucleus(shown: OpenExhibit, row: int) -> dict[str, Any]:
    """A nucleus with its id, outline and measurements."""
    name, nuclei = shown.lookup.row(row)
    x, y = nuclei.centroid_xy[0].tolist()
    return {
        "id": name,
        "row": row,
        "centroid": [x, y],
        "tile": int(nuclei.tile_index[0]),
        "ring": nuclei.ring(0).tolist(),
        "measurements": [
            {
                "column": column,
                "name": _name(column),
                "value": float(values[0]) if values[0] == values[0] else None,
            }
            for column, values in nuclei.measurements.items()
        ],
    }
