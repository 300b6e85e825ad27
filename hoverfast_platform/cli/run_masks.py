"""The loop behind ``hoverfast mask``: failures listed at the end, one table over all masks."""

from __future__ import annotations

import csv
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from hoverfast_platform.catalogue import Catalogue
from hoverfast_platform.catalogue.records import slide_record
from hoverfast_platform.checks.policy import MaskCheck
from hoverfast_platform.checks.rules import check_mask
from hoverfast_platform.cli.inputs import check_name, printable
from hoverfast_platform.cli.run_slides import CATALOGUE_NAME
from hoverfast_platform.config import MaskSettings, Scale
from hoverfast_platform.errors import HoverFastError, Interrupted, MaskError
from hoverfast_platform.files import written_atomically
from hoverfast_platform.inference.record import failure_record, tissue_mask_record
from hoverfast_platform.mask.engines import read_mask_settings
from hoverfast_platform.mask.findings import Finding
from hoverfast_platform.mask.imported import mask_file_name
from hoverfast_platform.mask.make import MadeMask, make_mask_file
from hoverfast_platform.mask.mask_file import MaskRecord, read_record
from hoverfast_platform.slide import open_slide
from hoverfast_platform.slide.digest import slide_digest
from hoverfast_platform.storage.previews import encode_jpeg

TABLE_NAME = "masks.tsv"
"""In the output folder: a line for each mask in it; also a table for ``--from``."""

_PREVIEW_SIDE_PX = 1600


def read_settings(options: Mapping[str, Any]) -> MaskSettings:
    """Settings of a file, with what was given on the command line in place of its own.

    Raises:
        SettingsError: If the file is not of that form.
    """
    path = options["settings_file"]
    settings = read_mask_settings(path) if path is not None else MaskSettings()
    if options["engine"] is not None:
        settings = settings.model_copy(update={"engine": options["engine"]})
    if options["import_from"] is not None:
        settings = settings.model_copy(update={"import_from": str(options["import_from"])})
    if options["frame"] is not None:
        imported = settings.imported.model_copy(update={"frame": options["frame"]})
        settings = settings.model_copy(update={"imported": imported})
    changes: dict[str, Any] = {}
    if options["histoqc_command"] is not None:
        changes["command"] = tuple(shlex.split(options["histoqc_command"]))
    if options["histoqc_config"] is not None:
        changes["config"] = options["histoqc_config"]
    histoqc = settings.histoqc.model_copy(update=changes)
    return settings.model_copy(update={"histoqc": histoqc})


def mask_all(slides: Sequence[Path], out_dir: Path, settings: MaskSettings, scale: Scale) -> int:
    """Make the masks of slides one after another and record each; returns how many failed."""
    n_failed = 0
    with Catalogue.open(out_dir / CATALOGUE_NAME) as catalogue:
        for slide in slides:
            try:
                check_name(slide)
                made = _mask_one(catalogue, slide, out_dir, settings, scale)
            except Interrupted:
                raise
            except HoverFastError as error:
                n_failed += 1
                catalogue.results.record_failure(failure_record(Path(printable(slide)), error))
                click.echo(f"{printable(slide.name)}: FAILED ({error.kind}): {error}", err=True)
            else:
                _report(slide, made)
    _write_table(out_dir)
    if n_failed:
        click.echo(f"{n_failed} of {len(slides)} slides failed.", err=True)
    return n_failed


def _mask_one(
    catalogue: Catalogue, slide: Path, out_dir: Path, settings: MaskSettings, scale: Scale
) -> MadeMask:
    with open_slide(slide, scale) as reader:
        sha256 = slide_digest(slide)
        path = mask_file_name(out_dir, slide.name, sha256)
        made = make_mask_file(
            slide, reader, sha256, path, settings, picture_side_px=_PREVIEW_SIDE_PX
        )
        info = reader.info
    with written_atomically(path.with_suffix(".preview.jpg")) as part:
        part.write_bytes(encode_jpeg(made.picture, max_side_px=2 * _PREVIEW_SIDE_PX))
    key = catalogue.slides.register(slide_record(slide, info, sha256))
    catalogue.slides.record_mask(key, tissue_mask_record(path, made.mask, made.record))
    return made


def _report(slide: Path, made: MadeMask) -> None:
    statistics = made.record.statistics
    lost = ", ".join(f"{label} {share:.1%}" for label, share in statistics.lost_fraction.items())
    click.echo(
        f"{slide.name}: {statistics.tissue_area_mm2:.3f} mm2 usable ({made.mask.engine})"
        + (f", lost: {lost}" if lost else "")
        + (" (already done)" if made.was_done else "")
    )
    finding = check_mask(statistics, MaskCheck())
    for note in (*([] if finding.passed else [finding.text]), *made.mask.warnings):
        click.echo(f"  note: {note}")
    click.echo(f"  mask    {made.path}")


def _write_table(out_dir: Path) -> None:
    """One line for each of our masks in the folder, whichever run made it."""
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
                    record.slide_name,
                    name,
                    record.engine,
                    f"{statistics.tissue_area_mm2:.6g}",
                    f"{statistics.glass_ink_mm2:.6g}",
                    *(f"{statistics.lost_fraction.get(f.label, 0):.6g}" for f in losses),
                    " | ".join(" ".join(text.split()) for text in record.warnings),
                ]
            )
