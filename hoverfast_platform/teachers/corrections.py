"""Results corrected in QuPath, as a labelled set to learn from and to be measured on.

A person draws annotations of the class ``Reviewed`` around what was looked at, corrects the
nuclei inside (moves, deletes, adds), and exports everything as GeoJSON. Only the reviewed
regions become images with labels; what lies outside was never judged and is left out.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
import tifffile
from PIL import Image

from hoverfast_platform.config import Scale
from hoverfast_platform.errors import LabelError, SettingsError, StorageError
from hoverfast_platform.files import written_atomically
from hoverfast_platform.geometry import Box, ModelLattice
from hoverfast_platform.slide import SlideInfo, SlideReader, open_slide
from hoverfast_platform.slide.digest import slide_digest
from hoverfast_platform.slide.resample import read_region_at
from hoverfast_platform.storage.foreign_outlines import (
    MAX_NUCLEUS_UM2,
    ForeignOutlines,
    read_outlines,
)
from hoverfast_platform.storage.foreign_table import read_table
from hoverfast_platform.teachers.annotations import paint, rings_of
from hoverfast_platform.teachers.correction_files import read_correction_head
from hoverfast_platform.teachers.teacher import TileImage
from hoverfast_platform.texts import cell

REVIEWED = "Reviewed"
"""Class of the annotations that say what was looked at."""

MAX_REGION_PX = 50_000_000
_COLUMNS = (
    "stem",
    "group",
    "mpp",
    "slide",
    "slide_sha256",
    "edited",
    "source",
    "reviewed_by",
    "n_nuclei",
)
_KEPT_TOLERANCE_PX = 0.06
"""Vertices that moved less are where they were: files hold a tenth of a pixel."""


@dataclass(frozen=True)
class Review:
    """Who reviewed which slide, and how its regions are wanted.

    Attributes:
        slide: The slide.
        edited: QuPath's export.
        patient: Group in the manifest; the slide's stem if empty.
        reviewed_by: Name of the person, recorded.
        mpp: Micrometres per pixel of the images made.
        mpp_override: Micrometres per pixel of the slide, where it does not say.
        also: Further exports of the slide, such as QuPath's beside the viewer's.
    """

    slide: Path
    edited: Path
    patient: str = ""
    reviewed_by: str = ""
    mpp: float = 0.25
    mpp_override: float | None = None
    also: tuple[Path, ...] = ()


@dataclass(frozen=True)
class ImportedReview:
    """What an import made.

    Attributes:
        stems: Names of the images in ``image/`` and ``label/``.
        n_nuclei: Nuclei in all of them.
        n_unchanged: Reviewed nuclei whose id and outline are those of the original result.
        n_changed: Nuclei with an id of the original and another outline.
        n_added: Nuclei without an id of the original.
        n_deleted: Nuclei of the original inside reviewed regions that are gone.
        notes: What of the export was left out because it is not a nucleus.
    """

    stems: tuple[str, ...]
    n_nuclei: int
    n_unchanged: int = 0
    n_changed: int = 0
    n_added: int = 0
    n_deleted: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Edited:
    regions: npt.NDArray[np.object_]
    nuclei: npt.NDArray[np.object_]
    ids: tuple[str, ...]
    notes: tuple[str, ...]


def import_review(review: Review, out_dir: Path, *, original: Path | None = None) -> ImportedReview:
    """Write the reviewed regions as ``image/``, ``label/`` and rows of ``manifest.csv``.

    Images and labels of an earlier import of the same slide are replaced. The set is read by
    ``teacher-labels --teacher annotations`` and by ``evaluate``.

    Args:
        review: What was reviewed.
        out_dir: Folder of the labelled set; other slides in it are kept.
        original: The result that was corrected; with it changes are counted.

    Raises:
        LabelError: If there is no reviewed region, or something that cannot be a nucleus.
        SlideError: If the slide cannot be read.
        StorageError: If files are damaged or cannot be written.
    """
    sha256 = slide_digest(review.slide)
    prefix = f"{review.slide.stem}-{sha256[:8]}"
    rows: list[dict[str, str]] = []
    files = {path: read_correction_head(path) for path in (review.edited, *review.also)}
    for path, head in files.items():
        if head.slide_sha256 not in ("", sha256):
            raise LabelError(
                f"{path.name} corrects another slide than {review.slide.name}.",
                "Give the slide that it was made on; its digest begins with "
                f"{head.slide_sha256[:10]}.",
            )
    with open_slide(review.slide, Scale(mpp_override=review.mpp_override)) as reader:
        info = reader.info
        edited = {path: _read_edited(path, info) for path in files}
        before = _read_edited(original, info, needs_region=False) if original else None
        for path, found in edited.items():
            for region in found.regions:
                stem = f"{prefix}-{len(rows) + 1:02d}"
                n_nuclei = _write_region(reader, region, found.nuclei, review, out_dir / stem)
                rows.append(
                    {
                        "stem": stem,
                        "group": review.patient or review.slide.stem,
                        "mpp": f"{review.mpp:g}",
                        "slide": review.slide.name,
                        "slide_sha256": sha256,
                        "edited": path.name,
                        "source": files[path].source,
                        "reviewed_by": review.reviewed_by or ", ".join(files[path].reviewed_by),
                        "n_nuclei": str(n_nuclei),
                    }
                )
    _replace_rows(out_dir, sha256, rows)
    return ImportedReview(
        stems=tuple(row["stem"] for row in rows),
        n_nuclei=sum(int(row["n_nuclei"]) for row in rows),
        notes=tuple(note for found in edited.values() for note in found.notes),
        **(_changes(edited[review.edited], before) if before is not None else {}),
    )


def _write_region(
    reader: SlideReader,
    region: Any,
    nuclei: npt.NDArray[np.object_],
    review: Review,
    place: Path,
) -> int:
    """Image and labels of a region, named as ``place`` in its folder; returns how many nuclei."""
    tile = _region_tile(reader, region, review)
    labels = _labels(tile, region, nuclei)
    is_inside = paint([rings_of(region)], tile) > 0
    rgb = np.where(is_inside[..., None], tile.rgb, np.uint8(255))
    with written_atomically(place.parent / "image" / f"{place.name}.png") as part:
        Image.fromarray(rgb).save(part, format="PNG")
    with written_atomically(place.parent / "label" / f"{place.name}.tif") as part:
        tifffile.imwrite(part, labels, compression="zlib")
    return len(np.unique(labels[labels > 0]))


def _read_edited(path: Path, info: SlideInfo, *, needs_region: bool = True) -> _Edited:
    """Regions and nuclei of an export; classes that end with ``*`` are ignored, as in QuPath."""
    try:
        found = read_outlines(path)
    except StorageError as error:
        raise LabelError(error.message, error.remedy) from error
    found = found.without(_is_flat_region(found), "region without an area")
    is_region = found.class_names == REVIEWED
    if needs_region and not is_region.any():
        raise LabelError(
            f"{path.name} has no annotation of the class {REVIEWED}.",
            "Without it nobody knows where missing nuclei are missing on purpose: draw a rectangle "
            "around what you looked at, give it that class, export again.",
        )
    regions = _repaired(found.polygons[is_region])
    nuclei = found.only(~is_region)
    nuclei = replace(nuclei, polygons=_repaired(nuclei.polygons))
    areas_um2 = shapely.area(nuclei.polygons) * info.mpp.pixel_area_um2
    if (areas_um2 > MAX_NUCLEUS_UM2).any():
        worst = int(np.argmax(areas_um2))
        raise LabelError(
            f"{path.name} holds an object of {areas_um2[worst]:.0f} um2 of class "
            f"{nuclei.class_names[worst] or 'none'!r}, too large for a nucleus.",
            f"Give regions you reviewed the class {REVIEWED}; delete other annotations.",
        )
    nuclei = nuclei.without_regions(info.mpp.pixel_area_um2)
    if misfit := nuclei.misfit(info.mpp.mean, (info.width, info.height)):
        raise LabelError(
            f"{path.name}: {misfit}.", f"Export it from {info.name} in QuPath, in pixels."
        )
    return _Edited(regions, nuclei.polygons, tuple(nuclei.ids), nuclei.notes())


def _is_flat_region(found: ForeignOutlines) -> npt.NDArray[np.bool_]:
    """Which regions enclose nothing, such as those of a click by mistake."""
    is_flat: npt.NDArray[np.bool_] = found.class_names == REVIEWED
    is_flat[is_flat] = shapely.area(_repaired(found.polygons[is_flat])) == 0
    return is_flat


def _repaired(polygons: npt.NDArray[np.object_]) -> npt.NDArray[np.object_]:
    """Valid polygons; one that crosses itself may become empty or several."""
    repaired = polygons.copy()
    is_broken = ~shapely.is_valid(polygons)
    repaired[is_broken] = shapely.buffer(polygons[is_broken], 0)
    return repaired


def _region_tile(reader: SlideReader, region: Any, review: Review) -> TileImage:
    """The pixels of a region's bounding box at the scale asked for."""
    info = reader.info
    lattice = ModelLattice.of(
        width=info.width, height=info.height, slide_mpp=info.mpp, model_mpp=review.mpp
    )
    x0, y0, x1, y1 = region.bounds
    box = Box(
        y0=int(y0 / lattice.scale_y),
        x0=int(x0 / lattice.scale_x),
        y1=int(np.ceil(y1 / lattice.scale_y)),
        x1=int(np.ceil(x1 / lattice.scale_x)),
    ).clipped(lattice.box)
    if box.is_empty:
        raise LabelError(
            f"A reviewed region at ({x0:.0f}, {y0:.0f}) lies outside {info.name}.",
            "The export belongs to another slide, or to an image with another origin.",
        )
    if box.width * box.height > MAX_REGION_PX:
        raise SettingsError(
            f"A reviewed region of {box.width}x{box.height} px is too large for one image.",
            "Divide it into several.",
        )
    return TileImage(
        rgb=read_region_at(reader, lattice, box),
        mpp=review.mpp,
        path=review.slide,
        x0_px=box.x0,
        y0_px=box.y0,
        scale_x=lattice.scale_x,
        scale_y=lattice.scale_y,
    )


def _labels(tile: TileImage, region: Any, nuclei: npt.NDArray[np.object_]) -> npt.NDArray[np.int32]:
    """Instance map of the nuclei that reach into a region, cut at its edge."""
    inside = nuclei[shapely.intersects(nuclei, region)]
    labels = paint([rings_of(nucleus) for nucleus in inside if nucleus.area > 0], tile)
    labels[paint([rings_of(region)], tile) == 0] = 0
    return labels


def _changes(edited: _Edited, original: _Edited) -> dict[str, int]:
    """How the reviewed nuclei differ from the result that was corrected."""
    reviewed = shapely.union_all(edited.regions)
    before = {
        identity: nucleus
        for identity, nucleus in zip(original.ids, original.nuclei, strict=True)
        if shapely.intersects(shapely.centroid(nucleus), reviewed)
    }
    counts = {"n_unchanged": 0, "n_changed": 0, "n_added": 0}
    everywhere = dict(zip(original.ids, original.nuclei, strict=True))
    for identity, nucleus in zip(edited.ids, edited.nuclei, strict=True):
        if not shapely.intersects(shapely.centroid(nucleus), reviewed):
            continue
        if identity not in everywhere:
            counts["n_added"] += 1
        elif shapely.hausdorff_distance(everywhere[identity], nucleus) < _KEPT_TOLERANCE_PX:
            counts["n_unchanged"] += 1
        else:
            counts["n_changed"] += 1
    counts["n_deleted"] = len(set(before) - set(edited.ids))
    return counts


def _replace_rows(out_dir: Path, slide_sha256: str, rows: Sequence[dict[str, str]]) -> None:
    """Rows of a slide in the manifest; files that an earlier import alone had are removed."""
    path = out_dir / "manifest.csv"
    kept: list[Mapping[str, str]] = []
    if path.is_file():
        old = read_table(path, ("stem",)).rows
        kept = [row for row in old if row.get("slide_sha256") != slide_sha256]
        gone = {row["stem"] for row in old} - {row["stem"] for row in [*kept, *rows]}
        for stem in {Path(stem).name for stem in gone}:
            (out_dir / "image" / f"{stem}.png").unlink(missing_ok=True)
            (out_dir / "label" / f"{stem}.tif").unlink(missing_ok=True)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=_COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in [*kept, *rows]:
        writer.writerow({name: cell(value) for name, value in row.items()})
    with written_atomically(path) as part:
        part.write_text(text.getvalue(), encoding="utf-8")
