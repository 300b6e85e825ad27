"""Masks that are there already: finding the file for a slide, and laying it on the slide.

Ours (see ``mask_file``), HistoQC's, or any image with tissue bright on dark.
"""

from __future__ import annotations

import glob
from pathlib import Path

from hoverfast_platform.config import MaskImport
from hoverfast_platform.errors import MaskError, StorageError
from hoverfast_platform.files import file_sha256, fitting_stem
from hoverfast_platform.geometry import Box
from hoverfast_platform.mask.findings import FindingPixels
from hoverfast_platform.mask.foreign_pixels import read_foreign_tissue
from hoverfast_platform.mask.histoqc_output import (
    MASK_SUFFIX,
    HistoQcRow,
    log_lines,
    read_findings,
    read_row,
)
from hoverfast_platform.mask.ink import name_ink_on_glass
from hoverfast_platform.mask.mask_file import MaskRecord, read_levels, read_record, split_levels
from hoverfast_platform.mask.registration import cut_to_frame, mask_box
from hoverfast_platform.mask.tissue_mask import MaskEngineName, TissueMask
from hoverfast_platform.slide import SlideInfo
from hoverfast_platform.slide.digest import slide_digest
from hoverfast_platform.storage.foreign_table import read_table


def find_mask_file(source: Path, slide_path: Path) -> Path:
    """The mask of a slide in a folder of masks, or by a table.

    In a folder these names are looked for in this order: ``<name>.<start of its digest>.png``
    (ours, where two slides have one name), ``<name>/<name>_mask_use.png`` (HistoQC),
    ``<name>_mask_use.png``, ``<name>.png``, ``<stem>.png``, where name includes the slide's suffix.
    A table (``.csv``, ``.tsv``) has the columns ``slide`` (name, stem or path) and ``mask`` (path,
    from the table's folder if relative).

    Raises:
        MaskError: If there is none, with what HistoQC said about the slide if it failed there.
    """
    if source.is_file():
        return _by_table(source, slide_path)
    name, stem = slide_path.name, slide_path.stem
    candidates = (
        *_of_content(source, slide_path),
        source / name / f"{name}{MASK_SUFFIX}",
        source / f"{name}{MASK_SUFFIX}",
        source / f"{name}.png",
        source / f"{stem}.png",
    )
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    if (source / name).is_dir():
        said = " ".join(log_lines(source, name)) or "error.log says nothing of it"
        raise MaskError(
            f"HistoQC failed on {name}: {source / name} holds no mask ({said}).",
            "Its exit code does not tell. Repair the cause, delete that folder, or HistoQC will "
            "skip the slide, and run it again.",
        )
    raise MaskError(
        f"No mask for {name} in {source}: looked for "
        f"{', '.join(str(c.relative_to(source)) for c in candidates)}.",
        "Name the mask after the slide, give HistoQC's output folder, or leave the mask folder "
        "out to use the built-in tissue detection.",
    )


def mask_file_name(folder: Path, slide_name: str, slide_sha256: str) -> Path:
    """Where a slide's mask goes in a folder of ours; longer if another slide has taken that."""
    path = folder / f"{fitting_stem(slide_name)}.png"
    if path.exists():
        try:
            record = read_record(path)
        except MaskError:
            return path  # damaged: made anew
        if record is not None and record.slide_sha256 != slide_sha256:
            return folder / f"{slide_name}.{slide_sha256[:8]}.png"
    return path


def _of_content(folder: Path, slide_path: Path) -> tuple[Path, ...]:
    """Its mask in a folder that holds masks of several slides of this name."""
    pattern = f"{glob.escape(slide_path.name)}.{8 * '[0-9a-f]'}.png"
    if next(folder.glob(pattern), None) is None or not slide_path.exists():
        return ()  # the digest, for which all of the slide is read, is not needed
    return (folder / f"{slide_path.name}.{slide_digest(slide_path)[:8]}.png",)


def _by_table(table: Path, slide_path: Path) -> Path:
    try:
        rows = read_table(table, ("slide", "mask"))
        mask = rows.value(slide_path, "mask")
    except StorageError as error:
        raise MaskError(error.message, error.remedy) from error
    if not mask:
        raise MaskError(
            f"{table} lists no mask for {slide_path.name}.",
            "Its column slide names a slide's file, with or without its folder and suffix.",
        )
    path = table.parent / mask
    if not path.is_file() and "\\" in mask:
        path = table.parent / mask.replace("\\", "/")
    if not path.is_file():
        raise MaskError(f"{path}, listed in {table}, does not exist.", "Correct the table.")
    return path


def load_mask(
    path: Path, info: SlideInfo, how: MaskImport = MaskImport(), *, slide_sha256: str = ""
) -> TissueMask:
    """Read a mask image and lay it on a slide.

    Our own files say what they show. The pixels of other files are read by the rules of
    ``foreign_pixels``; their shape, and HistoQC's ``results.tsv`` where there is one, say whether
    they show the whole slide or its bounds.

    Args:
        path: The image.
        info: The slide.
        how: What the image does not say of itself.
        slide_sha256: The slide's digest, to recognise a mask made for other content.

    Raises:
        MaskError: If it is unreadable, empty, or does not belong to the slide. An empty mask of
            ours is a result and is taken.
    """
    record = read_record(path)
    if record is not None:
        levels = read_levels(path)
        _check_record(path, record, info, slide_sha256, (levels.shape[1], levels.shape[0]))
        is_tissue, findings = split_levels(levels)
        mask = TissueMask.of_slide(
            info,
            is_tissue,
            record.engine,
            provenance=record.provenance,
            findings=findings if findings.any() else None,
            warnings=record.warnings,
        )
        return mask if record.within is None else mask.restricted_to(record.within)
    row = read_row(path.parent.parent, info.name) if path.name.endswith(MASK_SUFFIX) else None
    return lay_on_slide(path, info, how, row=row, engine="import")


def lay_on_slide(
    path: Path,
    info: SlideInfo,
    how: MaskImport,
    *,
    row: HistoQcRow | None,
    engine: MaskEngineName,
) -> TissueMask:
    """A mask image of another program as a mask of a slide.

    Args:
        path: The image.
        info: The slide.
        how: What the image does not say of itself.
        row: What HistoQC wrote about the slide.
        engine: To name as the one that made it.

    Raises:
        MaskError: If it is unreadable, empty where that is not allowed, or does not fit.
    """
    is_histoqc = path.name.endswith(MASK_SUFFIX)
    pixels = read_foreign_tissue(path, how.tissue_levels)
    size = (pixels.shape[1], pixels.shape[0])
    shown = mask_box(path.name, size, info, how.frame, row.box if row is not None else None)
    if not pixels.any() and not how.allow_empty:
        raise _empty(path, is_histoqc)
    named = read_findings(path, pixels) if is_histoqc else None
    if named is not None:
        named = name_ink_on_glass(named, pixels)
    return TissueMask.of_slide(
        info,
        cut_to_frame(pixels, shown, info),
        engine,
        provenance={
            "file": path.name,
            "sha256": file_sha256(path),
            "made_by": "HistoQC" if is_histoqc else "unknown",
            "shows": _described(shown, info),
            "settings": how.model_dump(mode="json"),
            "columns": row.columns if row is not None else {},
        },
        findings=_cut(named, shown, info),
        warnings=row.warnings if row is not None else (),
    )


def _cut(findings: FindingPixels | None, shown: Box, info: SlideInfo) -> FindingPixels | None:
    return cut_to_frame(findings, shown, info) if findings is not None else None


def _described(shown: Box, info: SlideInfo) -> str:
    if (shown.width, shown.height) == (info.width, info.height):
        return info.frame
    return "full slide, cut to its bounds"


def _empty(path: Path, is_histoqc: bool) -> MaskError:
    if is_histoqc:
        cause = (
            "Its shipped configurations empty small slides: they drop pieces below 0.6 to 6 mm2 "
            "and take bland tissue for blurred. Use a tuned configuration (docs/masks.md)"
        )
    else:
        cause = "All of it is black or transparent"
    return MaskError(
        f"{path.name} has no tissue in it. {cause}.",
        "If the slide really has none, set allow_empty, or use the built-in engine.",
    )


def _check_record(
    path: Path, record: MaskRecord, info: SlideInfo, slide_sha256: str, size: tuple[int, int]
) -> None:
    if slide_sha256 and record.slide_sha256 and record.slide_sha256 != slide_sha256:
        raise MaskError(
            f"{path.name} was made for {record.slide_name} with other content "
            f"({record.slide_sha256[:10]}, {info.name} is {slide_sha256[:10]}).",
            "Make the mask anew from this slide.",
        )
    known = (record.slide_width_px, record.slide_height_px, record.origin_px)
    actual = (info.width, info.height, info.origin_px)
    if known != actual:
        raise MaskError(
            f"{path.name} was made for {record.slide_name} of {known[0]}x{known[1]} px, frame at "
            f"{known[2]}; {info.name} has {actual[0]}x{actual[1]} px, frame at {actual[2]}.",
            "It belongs to another slide; make the mask anew.",
        )
    expected = tuple(
        scale * mpp / mask_mpp
        for scale, mpp, mask_mpp in (
            (info.width, record.slide_mpp_x, record.mask_mpp_x),
            (info.height, record.slide_mpp_y, record.mask_mpp_y),
        )
    )
    if any(abs(a - b) > 0.5 for a, b in zip(expected, size, strict=True)):
        raise MaskError(
            f"{path.name} has {size[0]}x{size[1]} px, its record speaks of "
            f"{expected[0]:.0f}x{expected[1]:.0f}.",
            "Another program changed the picture; make the mask anew.",
        )
