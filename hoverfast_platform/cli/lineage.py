"""``hoverfast lineage``: where a result came from."""

from __future__ import annotations

from pathlib import Path

import click

from hoverfast_platform.cli.catalogue_option import VARIABLE, CatalogueType
from hoverfast_platform.cli.say import say


@click.command("lineage")
@click.argument("slide_or_file")
@click.option(
    "--catalogue",
    envvar=VARIABLE,
    type=CatalogueType(),
    help="Catalogue to ask: OUTDIR/catalogue.sqlite, or postgresql://... Without it the file "
    "itself is read.",
)
def command(slide_or_file: str, catalogue: Path | str | None) -> None:
    """Where SLIDE_OR_FILE came from: slide bytes, mask, model, labels, settings, code, run.

    Without a catalogue SLIDE_OR_FILE is a result (.json.gz, .parquet, .summary.json), which
    carries its own record. With one it may also be a slide's name, path, key or digest.
    """
    import json

    from hoverfast_platform.catalogue import Catalogue
    from hoverfast_platform.catalogue.database import shown
    from hoverfast_platform.errors import CatalogueError
    from hoverfast_platform.storage.read_provenance import read_provenance

    if catalogue is None:
        record: object = read_provenance(Path(slide_or_file))
    else:
        with Catalogue.open(catalogue) as opened:
            found = opened.results.lineage(slide_or_file)
            if not found.entries and Path(slide_or_file).exists():
                found = opened.results.lineage(str(Path(slide_or_file).absolute()))
        if not found.entries:
            raise CatalogueError(
                f"{shown(catalogue)} knows nothing of {slide_or_file}.",
                "Give a slide's name, path or digest, or a result file.",
            )
        record = [entry.model_dump(mode="json") for entry in found.entries]
    say(json.dumps(record, indent=2, ensure_ascii=False))
