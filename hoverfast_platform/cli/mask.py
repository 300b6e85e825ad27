"""``hoverfast mask``: slides in, tissue masks with named artefacts out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


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
    help="For import: what the masks show, where their shape fits both. [default: auto]",
)
@click.option(
    "--histoqc-command",
    help="Program, or a container's line ending in it; {scratch} and {slide_dir} are filled in. "
    "[default: histoqc]",
)
@click.option("--histoqc-config", help="Template or file. [default: v2.1, repaired]")
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
    from hoverfast_platform.cli.inputs import expand
    from hoverfast_platform.cli.run_masks import mask_all, read_settings
    from hoverfast_platform.config import Scale
    from hoverfast_platform.ingest.units import list_slides

    scale = Scale(mpp_override=options.pop("mpp"))
    paths = expand(slides, lambda folder: list_slides(folder).units)
    if mask_all(paths, outdir, read_settings(options), scale):
        raise click.exceptions.Exit(1)
