"""Slides to recorded tissue masks, and one table over all masks of a folder."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

from hoverfast_platform.catalogue import Catalogue
from hoverfast_platform.catalogue.records import slide_record
from hoverfast_platform.config import MaskSettings, Scale
from hoverfast_platform.errors import MaskError
from hoverfast_platform.files import write_bytes, written_atomically
from hoverfast_platform.ingest.names import check_name, printable
from hoverfast_platform.mask.findings import Finding
from hoverfast_platform.mask.imported import mask_file_name
from hoverfast_platform.mask.make import MadeMask, WorkArea, make_mask_file
from hoverfast_platform.mask.mask_file import MaskRecord, read_record
from hoverfast_platform.regions.reading import RegionFrame, find_regions_file, read_regions
from hoverfast_platform.slide import SlideInfo, open_slide
from hoverfast_platform.slide.digest import slide_digest
from hoverfast_platform.storage.previews import encode_jpeg
from hoverfast_platform.texts import cell
from hoverfast_platform.use_cases.outcome import Outcome, each
from hoverfast_platform.use_cases.record import failure_record, tissue_mask_record

MaskOutcome: TypeAlias = Outcome[Path, MadeMask]

TABLE_NAME = "masks.tsv"
"""Table in the output folder with a line for each mask; ``--from`` takes it."""

_PREVIEW_SIDE_PX = 1600


def make_masks(
    slides: Iterable[Path],
    out_dir: Path,
    *,
    catalogue: Catalogue,
    settings: MaskSettings = MaskSettings(),
    scale: Scale = Scale(),
) -> Iterator[MaskOutcome]:
    """Make the masks of slides and record each; one outcome per slide, in order.

    At the end ``masks.tsv`` lists every mask of the folder, whichever run made it.

    Args:
        slides: Slide files.
        out_dir: Gets the masks and a picture of each.
        catalogue: Gets what was made from what, and what failed.
        settings: The mask engine and its settings.
        scale: How the slide is scaled; only ``mpp_override`` is used.
    """
    slides = list(slides)

    def make(slide: Path) -> MadeMask:
        check_name(slide)
        return _make(catalogue, slide, out_dir, settings, scale, is_only_slide=len(slides) == 1)

    def record_failure(slide: Path, error: Exception) -> None:
        catalogue.results.record_failure(failure_record(Path(printable(slide)), error))

    yield from each(slides, make, record_failure=record_failure)
    _write_table(out_dir)


def make_and_record_mask(
    catalogue: Catalogue,
    key: str,
    *,
    slide: Path,
    out_path: Path,
    settings: MaskSettings,
    scale: Scale,
) -> MadeMask:
    """Make the mask of a registered slide and record it; any file in its place is replaced.

    Raises:
        CatalogueError: If no slide has the key.
        HoverFastError: As :func:`~hoverfast_platform.mask.make.make_mask_file` does.
    """
    with open_slide(slide, scale) as reader:
        digest = catalogue.slides.digest(key)
        only = _work_area(slide, reader.info, settings, is_only_slide=False)
        made = make_mask_file(
            slide, reader, digest, out_path, settings, only=only, replaces_any=True
        )
    catalogue.slides.record_mask(key, tissue_mask_record(out_path, made.mask, made.record))
    return made


def _make(
    catalogue: Catalogue,
    slide: Path,
    out_dir: Path,
    settings: MaskSettings,
    scale: Scale,
    *,
    is_only_slide: bool,
) -> MadeMask:
    with open_slide(slide, scale) as reader:
        sha256 = slide_digest(slide)
        path = mask_file_name(out_dir, slide.name, sha256)
        only = _work_area(slide, reader.info, settings, is_only_slide=is_only_slide)
        made = make_mask_file(
            slide, reader, sha256, path, settings, only=only, picture_side_px=_PREVIEW_SIDE_PX
        )
        info = reader.info
    picture = encode_jpeg(made.picture, max_side_px=2 * _PREVIEW_SIDE_PX)
    write_bytes(path.with_suffix(".preview.jpg"), picture)
    key = catalogue.slides.register(slide_record(slide, info, sha256))
    catalogue.slides.record_mask(key, tissue_mask_record(path, made.mask, made.record))
    return made


def _work_area(
    slide: Path, info: SlideInfo, settings: MaskSettings, *, is_only_slide: bool
) -> WorkArea | None:
    """The regions to which the settings restrict the mask, if any."""
    if not settings.regions_from:
        return None
    source = Path(settings.regions_from)
    file = find_regions_file(source, slide.stem, slide.name, is_only_slide=is_only_slide)
    regions = read_regions(file, RegionFrame.of_slide(info))
    return WorkArea(regions.union, regions.notes)


def _write_table(out_dir: Path) -> None:
    """Write a line for each of our masks in the folder, whichever run made it."""
    records: dict[str, MaskRecord] = {}
    for path in sorted(out_dir.glob("*.png")):
        try:
            record = read_record(path)
        except MaskError:
            continue  # damaged, and its slide was reported when it was due
        if record is not None:
            records[path.name] = record
    losses = [f for f in Finding if f not in (Finding.NONE, Finding.PEN_ON_GLASS)]
    with (
        written_atomically(out_dir / TABLE_NAME) as part,
        part.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(
            ["slide", "mask", "engine", "tissue_mm2", "pen_on_glass_mm2"]
            + [f"lost_{finding.label}" for finding in losses]
            + ["warnings"]
        )
        for name, record in records.items():
            statistics = record.statistics
            writer.writerow(
                [
                    cell(record.slide_name),
                    cell(name),
                    record.engine,
                    f"{statistics.tissue_area_mm2:.6g}",
                    f"{statistics.glass_ink_mm2:.6g}",
                    *(f"{statistics.lost_fraction.get(f.label, 0):.6g}" for f in losses),
                    cell(" | ".join(" ".join(text.split()) for text in record.warnings)),
                ]
            )
