"""One self-contained HTML page about everything in an output folder.

The page is made from the files alone. The catalogue there adds failures and says where the slides
are; a slide that is still there adds its thumbnail and its densest place at full resolution.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from hoverfast_platform.arrays import RgbImage
from hoverfast_platform.catalogue import Catalogue
from hoverfast_platform.catalogue.database import CATALOGUE_NAME
from hoverfast_platform.catalogue.records import FailureRecord
from hoverfast_platform.config import Scale
from hoverfast_platform.errors import HoverFastError, StorageError
from hoverfast_platform.geometry import Box
from hoverfast_platform.nuclei.nucleus import MEASUREMENTS, Nuclei
from hoverfast_platform.regions.region_table import REGIONS_TABLE, read_region_table
from hoverfast_platform.reports.page import (
    Block,
    Heading,
    Histogram,
    Paragraph,
    Picture,
    Table,
    write_page,
)
from hoverfast_platform.slide import open_slide
from hoverfast_platform.slide.thumbnail import read_thumbnail
from hoverfast_platform.storage.nuclei_table import read_nuclei_table
from hoverfast_platform.storage.previews import draw_density_of, draw_nuclei, encode_jpeg
from hoverfast_platform.storage.publish import PREVIEW, SUMMARY, TABLE, changed_files, changed_text
from hoverfast_platform.storage.summary import DabPositivity, SegmentationSummary

_LOG = logging.getLogger(__name__)
_PICTURE_PX = 700
_CLOSE_UP_PX = 512
_HISTOGRAMS = ("area_um2", "hematoxylin_od_mean", "dab_od_mean", "confidence")
_LABELS = {m.column: m.qupath_name for m in MEASUREMENTS}


@dataclass(frozen=True)
class RunContent:
    """What lies in an output folder.

    Attributes:
        folder: The folder.
        slides: Name of each slide's files without ending, and its summary.
        images: Name of each flat image's files without ending, and its summary.
        unreadable: Summaries that could not be read, and why.
        failures: Slides that failed and have no result, newest first, each once.
        slide_paths: Where slides were last seen, by digest.
    """

    folder: Path
    slides: tuple[tuple[str, SegmentationSummary], ...]
    images: tuple[tuple[str, SegmentationSummary], ...]
    unreadable: tuple[str, ...]
    failures: tuple[FailureRecord, ...]
    slide_paths: dict[str, Path]


def write_run_report(folder: Path) -> Path:
    """Write ``report.html`` into an output folder of ``infer_wsi`` or ``infer_roi``.

    Raises:
        StorageError: If there is nothing to report, or it cannot be written.
    """
    content = _gather(folder)
    title = f"Nuclei in {folder.resolve().name}"
    return write_page(folder / "report.html", title, _blocks(content))


def _gather(folder: Path) -> RunContent:
    slides, images, unreadable = [], [], []
    for path in sorted(folder.glob(f"*{SUMMARY}")):
        try:
            slides.append((path.name.removesuffix(SUMMARY), SegmentationSummary.read(path)))
        except StorageError as error:
            unreadable.append(str(error))
    for path in sorted((folder / "summary").glob("*.json")):
        try:
            images.append((path.stem, SegmentationSummary.read(path)))
        except StorageError as error:
            unreadable.append(str(error))
    failures: list[FailureRecord] = []
    slide_paths: dict[str, Path] = {}
    if (folder / CATALOGUE_NAME).is_file():
        with Catalogue.open(folder / CATALOGUE_NAME) as catalogue:
            known = catalogue.slides.all()
            slide_paths = {slide.sha256: Path(slide.path) for slide in known}
            done = {summary.provenance.slide.sha256 for _, summary in slides}
            has_result = {slide.path for slide in known if slide.sha256 in done}
            newest = {failure.path: failure for failure in reversed(catalogue.results.failures())}
            failures = [f for path, f in newest.items() if path not in has_result]
    if not (slides or images or unreadable or failures):
        raise StorageError(
            f"{folder} holds no results.", "Give the -o folder of infer_wsi or infer_roi."
        )
    return RunContent(
        folder, tuple(slides), tuple(images), tuple(unreadable), tuple(failures), slide_paths
    )


def _blocks(content: RunContent) -> Iterable[Block]:
    if content.failures or content.unreadable:
        yield Heading("Failed")
        yield Table(
            ("slide", "kind", "what happened", "what to do"),
            [(Path(f.path).name, f.kind, f.message, f.remedy) for f in content.failures],
            is_text=True,
        )
        yield from (Paragraph(text, "bad") for text in content.unreadable)
    if content.slides:
        yield Heading("Slides")
        yield _overview(
            ("slide", "nuclei", "tissue mm2", "per mm2", "median area um2", "s/mm2", "positive %"),
            [_slide_row(name, summary) for name, summary in content.slides],
        )
    if content.images:
        yield Heading("Images")
        yield _overview(
            ("image", "nuclei", "mm2", "per mm2", "median area um2", "positive %"),
            [_image_row(name, summary) for name, summary in content.images],
        )
    if (content.folder / f"{REGIONS_TABLE}.parquet").is_file():
        yield Heading("Regions")
        yield from _alone("the regions", _region_blocks(content.folder))
    for name, summary in content.slides:
        yield from _alone(name, _slide_section(content, name, summary))
    for name, roi in content.images:
        yield from _alone(name, _image_section(content, name, roi))


def _region_blocks(folder: Path) -> Iterable[Block]:
    """The figures of regions that ``infer_wsi --regions`` or ``summarise --regions`` left there."""
    rows = read_region_table(folder / f"{REGIONS_TABLE}.parquet")
    head = ("slide", "region", "class", "nuclei of", "nuclei", "tissue mm2", "per mm2",
            "mean area um2", "positive %", "H-score")  # fmt: skip
    shown = [
        (
            row["slide"],
            row["region"] or "all",
            row["region_class"],
            row["nucleus_class"] or "all classes",
            f"{row['n_nuclei']:,}",
            _figure(row["tissue_area_mm2"], 4),
            _figure(row["nuclei_per_mm2"], 0),
            _figure(row.get("area_um2_mean"), 1),
            _figure(_percent(row.get("positive_fraction")), 1),
            _figure(row.get("h_score"), 0),
        )
        for row in rows
    ]
    is_ihc = any(row[-1] for row in shown)
    width = len(head) if is_ihc else len(head) - 2
    yield Table(head[:width], [row[:width] for row in shown])
    for row in rows:
        if row["remarks"] and not row["nucleus_class"]:
            yield Paragraph(f"{row['slide']}, {row['region']}: {row['remarks']}.", "warn")


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _alone(name: str, section: Iterable[Block]) -> Iterable[Block]:
    """The blocks of a section. If one fails, the rest of the section is replaced by the reason."""
    try:
        yield from section
    except Exception as error:  # a damaged picture or table makes its library raise anything
        _LOG.warning("%s: %s: %s", name, type(error).__name__, error)
        yield Paragraph(f"A file of {name} is damaged: {error} Segment the slide again.", "bad")


def _slide_row(name: str, summary: SegmentationSummary) -> tuple[str, ...]:
    return (
        name,
        f"{summary.n_nuclei:,}",
        f"{summary.tissue_area_mm2:.2f}",
        _figure(summary.nuclei_per_mm2, 0),
        _median_area(summary),
        _figure(summary.seconds_per_mm2, 1),
        _positive(summary.dab),
    )


def _image_row(name: str, summary: SegmentationSummary) -> tuple[str, ...]:
    return (
        name,
        f"{summary.n_nuclei:,}",
        f"{summary.tissue_area_mm2:.4f}",
        _figure(summary.nuclei_per_mm2, 0),
        _median_area(summary),
        _positive(summary.dab),
    )


def _overview(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """The table of all results; the column of positive nuclei is left out where nothing is IHC."""
    width = len(head) if any(row[-1] for row in rows) else len(head) - 1
    return Table(head[:width], [row[:width] for row in rows])


def _median_area(summary: SegmentationSummary) -> str:
    area = summary.distributions.get("area_um2")
    return _figure(area.p50 if area else None, 1)


def _positive(dab: DabPositivity | None) -> str:
    return _figure(
        100 * dab.positive_fraction if dab and dab.positive_fraction is not None else None, 1
    )


def _figure(value: float | None, decimals: int) -> str:
    return "" if value is None else f"{value:,.{decimals}f}"


def _slide_section(content: RunContent, name: str, summary: SegmentationSummary) -> Iterable[Block]:
    provenance = summary.provenance
    yield Heading(name)
    yield from (Paragraph(text, "warn") for text in summary.warnings)
    preview = content.folder / f"{name}{PREVIEW}"
    table = content.folder / f"{name}{TABLE}"
    if not table.is_file():
        yield Paragraph(f"{table.name} is missing.", "bad")
        return
    changed = changed_files(content.folder, summary)
    if changed:
        yield Paragraph(changed_text(content.folder / f"{name}{SUMMARY}", changed), "bad")
    nuclei = read_nuclei_table(table)
    yield from _pixels_of_slide(content, summary, nuclei)
    if preview.is_file():
        with Image.open(preview) as picture:
            yield _picture(np.asarray(picture.convert("RGB")), "Nuclei, and what the mask left out")
    density = draw_density_of(
        nuclei.centroid_xy,
        width_px=provenance.slide.width_px,
        height_px=provenance.slide.height_px,
        mpp=provenance.slide.mpp,
    )
    yield _picture(density, "Nuclei per mm2")
    yield from _histograms(nuclei)
    yield from _dab(summary.dab)
    seams = summary.seams
    yield Table(
        ("seconds", *summary.seconds), [("", *(f"{s:.1f}" for s in summary.seconds.values()))]
    )
    yield Paragraph(
        f"{provenance.model.title} on {provenance.arithmetic}, {summary.n_tiles} tiles, "
        f"mask {provenance.mask.engine if provenance.mask else 'none'}, "
        f"{provenance.slide.mpp_x:.4g} um per pixel ({provenance.slide.mpp_source}), "
        f"{seams.n_duplicates} nuclei twice at seams, "
        f"finished {summary.finished_at}."
    )


def _pixels_of_slide(
    content: RunContent, summary: SegmentationSummary, nuclei: Nuclei
) -> Iterable[Block]:
    """Thumbnail and densest place, if the slide is still where it was."""
    provenance = summary.provenance
    path = content.slide_paths.get(provenance.slide.sha256)
    if path is None or not path.is_file():
        yield Paragraph("The slide is not at hand: no thumbnail, no close-up.")
        return
    override = provenance.slide.mpp_x if provenance.slide.mpp_source == "override" else None
    try:
        with open_slide(path, Scale(mpp_override=override)) as reader:
            yield _picture(read_thumbnail(reader, _PICTURE_PX), "The slide")
            if len(nuclei):
                corner = _densest_corner(nuclei.centroid_xy)
                x, y = int(corner[0]), int(corner[1])
                box = Box.of(x=x, y=y, width=_CLOSE_UP_PX, height=_CLOSE_UP_PX)
                pixels = reader.read_level(0, box)
                offset = nuclei.centroid_xy - corner
                near = nuclei.take(((offset > 0) & (offset < _CLOSE_UP_PX)).min(axis=1))
                yield _picture(
                    _outlined(pixels, near, x, y), f"Its densest place, at ({x}, {y})", is_wide=True
                )
    except HoverFastError as error:
        _LOG.warning("%s", error)
        yield Paragraph(f"The slide cannot be read now: {error}", "bad")


def _outlined(pixels: RgbImage, nuclei: Nuclei, x: int, y: int) -> RgbImage:
    moved = Nuclei(
        centroid_xy=nuclei.centroid_xy - (x, y),
        vertices_xy=nuclei.vertices_xy - (x, y),
        ring_starts=nuclei.ring_starts,
        tile_index=nuclei.tile_index,
        decimals=nuclei.decimals,
    )
    return draw_nuclei(pixels, [moved], scale_x=1, scale_y=1)


def _densest_corner(centroid_xy: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Find the corner of the grid cell of a close-up's size with the most nuclei."""
    cells, counts = np.unique(centroid_xy // _CLOSE_UP_PX, axis=0, return_counts=True)
    corner: npt.NDArray[np.float64] = cells[np.argmax(counts)] * _CLOSE_UP_PX
    return corner


def _image_section(content: RunContent, name: str, summary: SegmentationSummary) -> Iterable[Block]:
    yield Heading(name)
    yield from (Paragraph(text, "warn") for text in summary.warnings)
    overlay = content.folder / "overlay" / f"{name}_overlay.png"
    if overlay.is_file():
        with Image.open(overlay) as picture:
            yield _picture(np.asarray(picture.convert("RGB")), "Nuclei", is_wide=True)
    yield from _dab(summary.dab)


def _dab(dab: DabPositivity | None) -> Iterable[Table]:
    if dab is None or dab.h_score is None:
        return
    counts = (dab.n_negative, dab.n_weak, dab.n_moderate, dab.n_strong)
    yield Table(
        ("DAB", "negative", "1+", "2+", "3+", "positive %", "H-score"),
        [("nuclei", *(f"{n:,}" for n in counts), _positive(dab), f"{dab.h_score:.0f}")],
    )


def _histograms(nuclei: Nuclei) -> Iterable[Histogram]:
    """Count the measurements a person looks at; the last per cent on the right is cut off."""
    for column in _HISTOGRAMS:
        values = nuclei.measurements.get(column, np.empty(0))
        finite = values[np.isfinite(values)].astype(np.float64)
        if not len(finite):
            continue
        low, high = float(finite.min()), float(np.percentile(finite, 99))
        counts, edges = np.histogram(finite, bins=40, range=(low, max(high, low + 1e-3)))
        top = max(int(counts.max()), 1)
        yield Histogram(
            f"{_LABELS[column]}, tallest bar {top:,} nuclei",
            [n / top for n in counts.tolist()],
            float(edges[0]),
            float(edges[-1]),
        )


def _picture(rgb: RgbImage, caption: str, *, is_wide: bool = False) -> Picture:
    return Picture(encode_jpeg(rgb, max_side_px=_PICTURE_PX), caption, is_wide=is_wide)
