"""One self-contained HTML page about everything in an output folder.

Made from the files alone. The catalogue there adds failures and says where the slides are; a
slide that is still there adds its thumbnail and its densest place at full resolution.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from hoverfast_platform.arrays import RgbImage
from hoverfast_platform.catalogue import Catalogue
from hoverfast_platform.catalogue.records import FailureRecord
from hoverfast_platform.config import Scale
from hoverfast_platform.errors import HoverFastError, StorageError
from hoverfast_platform.files import written_atomically
from hoverfast_platform.geometry import Box
from hoverfast_platform.nuclei.nucleus import MEASUREMENTS, Nuclei
from hoverfast_platform.slide.reader import open_slide
from hoverfast_platform.slide.thumbnail import read_thumbnail
from hoverfast_platform.storage.nuclei_table import read_nuclei_table
from hoverfast_platform.storage.previews import draw_density, draw_nuclei, encode_jpeg
from hoverfast_platform.storage.publish import PREVIEW, SUMMARY, TABLE
from hoverfast_platform.storage.summary import DabPositivity, RoiSummary, SegmentationSummary

_LOG = logging.getLogger(__name__)
_PICTURE_PX = 700
_CLOSE_UP_PX = 512
_HISTOGRAMS = ("area_um2", "hematoxylin_od_mean", "dab_od_mean", "confidence")
_LABELS = {m.column: m.qupath_name for m in MEASUREMENTS}
_STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:1180px;margin:2em auto;padding:0 1em}
table{border-collapse:collapse;margin:1em 0}th,td{padding:.2em .7em;border-bottom:1px solid #ddd;
text-align:right}th:first-child,td:first-child,table.text *{text-align:left}
figure{display:inline-block;width:360px;margin:.5em .8em .5em 0;vertical-align:top}
img{max-width:100%;display:block}
figure.wide{width:512px}figcaption{font-size:85%;color:#555}svg{width:360px;height:150px}
h2{border-top:2px solid #ccc;
padding-top:1em;margin-top:2em}.warn{background:#fff3cd;padding:.3em .7em;margin:.3em 0}
.bad{color:#a00}"""


@dataclass(frozen=True)
class RunContent:
    """What lies in an output folder.

    Attributes:
        folder: The folder.
        slides: Name of the files without ending, and summary.
        images: Likewise of flat images.
        unreadable: Summaries that could not be read, and why.
        failures: Slides that failed and have no result, newest first, each once.
        slide_paths: Where slides were last seen, by digest.
    """

    folder: Path
    slides: tuple[tuple[str, SegmentationSummary], ...]
    images: tuple[tuple[str, RoiSummary], ...]
    unreadable: tuple[str, ...]
    failures: tuple[FailureRecord, ...]
    slide_paths: dict[str, Path]


def write_run_report(folder: Path) -> Path:
    """Write ``report.html`` into an output folder of ``infer_wsi`` or ``infer_roi``.

    Raises:
        StorageError: If there is nothing to report, or it cannot be written.
    """
    content = _gather(folder)
    page = folder / "report.html"
    body = "".join(_parts(content))
    title = f"Nuclei in {folder.resolve().name}"
    html = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{escape(title)}</h1>{body}</body></html>\n"
    )
    with written_atomically(page) as part:
        part.write_text(html, encoding="utf-8", errors="replace")
    return page


def _gather(folder: Path) -> RunContent:
    slides, images, unreadable = [], [], []
    for path in sorted(folder.glob(f"*{SUMMARY}")):
        try:
            slides.append((path.name.removesuffix(SUMMARY), SegmentationSummary.read(path)))
        except StorageError as error:
            unreadable.append(str(error))
    for path in sorted((folder / "summary").glob("*.json")):
        try:
            images.append((path.stem, RoiSummary.read(path)))
        except StorageError as error:
            unreadable.append(str(error))
    failures: list[FailureRecord] = []
    slide_paths: dict[str, Path] = {}
    if (folder / "catalogue.sqlite").is_file():
        with Catalogue.open(folder / "catalogue.sqlite") as catalogue:
            known = catalogue.slides.all()
            slide_paths = {slide.sha256: Path(slide.path) for slide in known}
            done = {summary.provenance.slide_sha256 for _, summary in slides}
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


def _parts(content: RunContent) -> Iterable[str]:
    if content.failures or content.unreadable:
        yield "<h2>Failed</h2>"
        yield _table(
            ("slide", "kind", "what happened", "what to do"),
            [(Path(f.path).name, f.kind, f.message, f.remedy) for f in content.failures],
            is_text=True,
        )
        yield "".join(f'<p class="bad">{escape(text)}</p>' for text in content.unreadable)
    if content.slides:
        yield "<h2>Slides</h2>"
        yield _overview(
            ("slide", "nuclei", "tissue mm2", "per mm2", "median area um2", "s/mm2", "positive %"),
            [_slide_row(name, summary) for name, summary in content.slides],
        )
    if content.images:
        yield "<h2>Images</h2>"
        yield _overview(
            ("image", "nuclei", "mm2", "per mm2", "median area um2", "positive %"),
            [_image_row(summary) for _, summary in content.images],
        )
    for name, summary in content.slides:
        yield from _slide_section(content, name, summary)
    for name, roi in content.images:
        yield from _image_section(content, name, roi)


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


def _image_row(summary: RoiSummary) -> tuple[str, ...]:
    return (
        summary.image_name,
        f"{summary.n_nuclei:,}",
        f"{summary.area_mm2:.4f}",
        _figure(summary.nuclei_per_mm2, 0),
        _median_area(summary),
        _positive(summary.dab),
    )


def _overview(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The table of all; without its last column, of positive nuclei, where nothing is IHC."""
    width = len(head) if any(row[-1] for row in rows) else len(head) - 1
    return _table(head[:width], [row[:width] for row in rows])


def _median_area(summary: SegmentationSummary | RoiSummary) -> str:
    area = summary.distributions.get("area_um2")
    return _figure(area.p50 if area else None, 1)


def _positive(dab: DabPositivity | None) -> str:
    return _figure(
        100 * dab.positive_fraction if dab and dab.positive_fraction is not None else None, 1
    )


def _figure(value: float | None, decimals: int) -> str:
    return "" if value is None else f"{value:,.{decimals}f}"


def _slide_section(content: RunContent, name: str, summary: SegmentationSummary) -> Iterable[str]:
    provenance = summary.provenance
    yield f"<h2>{escape(name)}</h2>"
    yield _warnings(summary.warnings)
    preview = content.folder / f"{name}{PREVIEW}"
    table = content.folder / f"{name}{TABLE}"
    if not table.is_file():
        yield f'<p class="bad">{escape(table.name)} is missing.</p>'
        return
    nuclei = read_nuclei_table(table)
    yield from _pixels_of_slide(content, summary, nuclei)
    if preview.is_file():
        with Image.open(preview) as picture:
            yield _picture(np.asarray(picture.convert("RGB")), "Nuclei, and what the mask left out")
    yield _picture(_density(summary, nuclei.centroid_xy), "Nuclei per mm2")
    yield _histograms(nuclei)
    yield _dab(summary.dab)
    seams = summary.seams
    yield _table(
        ("seconds", *summary.seconds), [("", *(f"{s:.1f}" for s in summary.seconds.values()))]
    )
    yield (
        f"<p>{escape(provenance.model_name)} {escape(provenance.model_version)} on "
        f"{escape(summary.device)} ({escape(summary.backend)} {escape(summary.precision)}), "
        f"{summary.n_tiles} tiles, mask {escape(provenance.mask_engine)}, "
        f"{provenance.slide_mpp_x:.4g} um per pixel ({escape(provenance.slide_mpp_source)}), "
        f"{seams.n_duplicates} nuclei twice at seams, finished {escape(summary.finished_at)}.</p>"
    )


def _pixels_of_slide(
    content: RunContent, summary: SegmentationSummary, nuclei: Nuclei
) -> Iterable[str]:
    """Thumbnail and densest place, if the slide is still where it was."""
    provenance = summary.provenance
    path = content.slide_paths.get(provenance.slide_sha256)
    if path is None or not path.is_file():
        yield "<p>The slide is not at hand: no thumbnail, no close-up.</p>"
        return
    override = provenance.slide_mpp_x if provenance.slide_mpp_source == "override" else None
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
                    _outlined(pixels, near, x, y), f"Its densest place, at ({x}, {y})", "wide"
                )
    except HoverFastError as error:
        _LOG.warning("%s", error)
        yield f'<p class="bad">The slide cannot be read now: {escape(str(error))}</p>'


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
    """Of the grid cell of a close-up's size with the most nuclei."""
    cells, counts = np.unique(centroid_xy // _CLOSE_UP_PX, axis=0, return_counts=True)
    corner: npt.NDArray[np.float64] = cells[np.argmax(counts)] * _CLOSE_UP_PX
    return corner


def _density(summary: SegmentationSummary, centroid_xy: npt.NDArray[np.float64]) -> RgbImage:
    """Counts on a grid of at most 60 cells a side."""
    provenance = summary.provenance
    cell_px = max(64.0, max(provenance.width_px, provenance.height_px) / 60)
    shape = (
        int(np.ceil(provenance.height_px / cell_px)),
        int(np.ceil(provenance.width_px / cell_px)),
    )
    counts = np.zeros(shape, dtype=np.int64)
    cells = np.minimum((centroid_xy // cell_px).astype(int), (shape[1] - 1, shape[0] - 1))
    np.add.at(counts, (cells[:, 1], cells[:, 0]), 1)
    cell_mm2 = cell_px**2 * provenance.slide_mpp_x * provenance.slide_mpp_y * 1e-6
    return draw_density(counts, counts > 0, cell_mm2)


def _image_section(content: RunContent, name: str, summary: RoiSummary) -> Iterable[str]:
    yield f"<h2>{escape(summary.image_name)}</h2>"
    yield _warnings(summary.warnings)
    overlay = content.folder / "overlay" / f"{name}_overlay.png"
    if overlay.is_file():
        with Image.open(overlay) as picture:
            yield _picture(np.asarray(picture.convert("RGB")), "Nuclei", "wide")
    yield _dab(summary.dab)


def _dab(dab: DabPositivity | None) -> str:
    if dab is None or dab.h_score is None:
        return ""
    counts = (dab.n_negative, dab.n_weak, dab.n_moderate, dab.n_strong)
    return _table(
        ("DAB", "negative", "1+", "2+", "3+", "positive %", "H-score"),
        [("nuclei", *(f"{n:,}" for n in counts), _positive(dab), f"{dab.h_score:.0f}")],
    )


def _histograms(nuclei: Nuclei) -> str:
    drawn = "".join(
        _histogram(_LABELS[column], nuclei.measurements[column])
        for column in _HISTOGRAMS
        if column in nuclei.measurements and len(nuclei)
    )
    return f"<div>{drawn}</div>"


def _histogram(title: str, values: npt.NDArray[np.float32]) -> str:
    """Bars as SVG; the last per cent on the right is cut off."""
    finite = values[np.isfinite(values)].astype(np.float64)
    if not len(finite):
        return ""
    low, high = float(finite.min()), float(np.percentile(finite, 99))
    counts, edges = np.histogram(finite, bins=40, range=(low, max(high, low + 1e-3)))
    top = max(int(counts.max()), 1)
    bars = "".join(
        f'<rect x="{10 + 8.5 * i:.1f}" y="{120 - 100 * n / top:.1f}" width="8" '
        f'height="{100 * n / top:.1f}" fill="#3a6"/>'
        for i, n in enumerate(counts.tolist())
    )
    ends = (
        f'<text x="10" y="138" font-size="12">{edges[0]:.3g}</text>'
        f'<text x="350" y="138" font-size="12" text-anchor="end">{edges[-1]:.3g}</text>'
    )
    return (
        f'<figure><svg viewBox="0 0 360 145" role="img">{bars}{ends}</svg>'
        f"<figcaption>{escape(title)}, tallest bar {top:,} nuclei</figcaption></figure>"
    )


def _picture(rgb: RgbImage, caption: str, kind: str = "") -> str:
    jpeg = encode_jpeg(rgb, max_side_px=_PICTURE_PX)
    data = base64.b64encode(jpeg).decode()
    return (
        f'<figure class="{kind}"><img src="data:image/jpeg;base64,{data}" alt="{escape(caption)}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _warnings(warnings: Sequence[str]) -> str:
    return "".join(f'<p class="warn">{escape(text)}</p>' for text in warnings)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, is_text: bool = False) -> str:
    titles = "".join(f"<th>{escape(title)}</th>" for title in head)
    lines = "".join(
        "<tr>" + "".join(f"<td>{escape(text)}</td>" for text in row) + "</tr>" for row in rows
    )
    kind = ' class="text"' if is_text else ""
    return f"<table{kind}><tr>{titles}</tr>{lines}</table>"
