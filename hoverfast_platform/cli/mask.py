"""``hoverfast mask``: slides in, tissue masks with named artefacts out."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hoverfast_platform.cli.say import say

if TYPE_CHECKING:
    from hoverfast_platform.config import MaskSettings
    from hoverfast_platform.mask.make import MadeMask


@click.command("mask")
@click.argument("slides", nargs=-1, required=True)
@click.option(
    "-o", "--outdir", required=True, type=click.Path(path_type=Path), help="Folder for masks."
)
@click.option(
    "-e",
    "--engine",
    type=click.Choice(["builtin", "histoqc", "import"]),
    help="builtin needs nothing; histoqc runs an installed HistoQC; import takes masks that are "
    "there. [default: builtin]",
)
@click.option(
    "--from",
    "import_from",
    type=click.Path(path_type=Path),
    help="For import: HistoQC's output folder, a folder of <slide>.png, or a table (.csv, .tsv) "
    "with the columns slide and mask.",
)
@click.option(
    "--frame",
    type=click.Choice(["auto", "full", "bounds"]),
    help=(
        "For import: whether masks show the whole slide or only its bounds, where their "
        "shape fits both. [default: auto]"
    ),
)
@click.option(
    "--histoqc-command",
    help="Program, or a container's line ending in it; {scratch} and {slide_dir} are filled in. "
    "[default: histoqc]",
)
@click.option("--histoqc-config", help="Template or file. [default: v2.1, repaired]")
@click.option(
    "--regions",
    type=click.Path(path_type=Path),
    help="GeoJSON of regions (QuPath's export), or a folder of <slide>.geojson: only tissue in "
    "them is usable.",
)
@click.option(
    "--settings",
    "settings_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="JSON with any of the mask settings (docs/masks.md); options win over it.",
)
@click.option(
    "--mpp",
    type=float,
    help="Micrometres per level-0 pixel, instead of what the files say; recorded.",
)
def command(slides: tuple[str, ...], outdir: Path, **options: Any) -> None:
    """Find the usable tissue of SLIDES: files, folders, or a quoted pattern.

    A mask is OUTDIR/<slide>.png, beside it a picture with the findings in colour; masks.tsv
    has the figures of all. `infer_wsi -b OUTDIR` takes them. A slide that fails does not stop
    the others; the exit code is 1 if any failed. A mask made with the same settings is kept.
    """
    from hoverfast_platform.catalogue import Catalogue
    from hoverfast_platform.catalogue.database import CATALOGUE_NAME
    from hoverfast_platform.cli.inputs import expand
    from hoverfast_platform.cli.show import exit_with, show_failure
    from hoverfast_platform.config import Scale
    from hoverfast_platform.ingest.units import list_slides
    from hoverfast_platform.use_cases.make_masks import make_masks

    paths = expand(slides, lambda folder: list_slides(folder).units)
    settings, scale = _settings(options), Scale(mpp_override=options["mpp"])
    n_failed = 0
    with Catalogue.open(outdir / CATALOGUE_NAME) as catalogue:
        for outcome in make_masks(
            paths, outdir, catalogue=catalogue, settings=settings, scale=scale
        ):
            if outcome.product is None:
                n_failed += 1
                show_failure(outcome)
            else:
                _show(outcome.item, outcome.product)
    exit_with(n_failed, len(paths), "slides")


def _settings(options: Mapping[str, Any]) -> MaskSettings:
    """Settings of a file, with what was given on the command line in place of its own.

    Raises:
        SettingsError: If the file is not of that form.
    """
    from hoverfast_platform.config import MaskSettings
    from hoverfast_platform.mask.engines import read_mask_settings

    path = options["settings_file"]
    settings = read_mask_settings(path) if path is not None else MaskSettings()
    if options["engine"] is not None:
        settings = settings.model_copy(update={"engine": options["engine"]})
    if options["import_from"] is not None:
        settings = settings.model_copy(update={"import_from": str(options["import_from"])})
    if options["regions"] is not None:
        settings = settings.model_copy(update={"regions_from": str(options["regions"])})
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


def _show(slide: Path, made: MadeMask) -> None:
    from hoverfast_platform.checks.policy import MaskCheck
    from hoverfast_platform.checks.rules import check_mask
    from hoverfast_platform.cli.show import show_each_note

    statistics = made.record.statistics
    lost = ", ".join(f"{label} {share:.1%}" for label, share in statistics.lost_fraction.items())
    say(
        f"{slide.name}: {statistics.tissue_area_mm2:.3f} mm2 usable ({made.mask.engine})"
        + (f", lost: {lost}" if lost else "")
        + (" (already done)" if made.was_done else "")
    )
    finding = check_mask(statistics, MaskCheck())
    show_each_note((*([] if finding.passed else [finding.text]), *made.mask.warnings))
    say(f"  mask    {made.path}")
