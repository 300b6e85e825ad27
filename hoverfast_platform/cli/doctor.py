"""``hoverfast doctor``: whether this machine is ready, and what to do where it is not."""

from __future__ import annotations

from pathlib import Path

import click

from hoverfast_platform.cli.catalogue_option import VARIABLE, CatalogueType
from hoverfast_platform.cli.json_text import json_option, json_text
from hoverfast_platform.cli.say import say


@click.command("doctor")
@click.option(
    "-o",
    "--outdir",
    default=Path(),
    show_default="this folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder in which results are to lie.",
)
@click.option(
    "--catalogue",
    envvar=VARIABLE,
    type=CatalogueType(exists=False),
    help="Catalogue to look at: a catalogue.sqlite, or postgresql://... Without it OUTDIR's own.",
)
@json_option
def command(outdir: Path, catalogue: Path | str | None, as_json: bool) -> None:
    """Look at this machine: versions, processor, GPU, formats, folders, disk, catalogue.

    Everything that is wrong comes with its remedy, and the exit code is then 1. Nothing is
    changed. Whoever reports a fault should send what this prints.
    """
    from hoverfast_platform.machine.examination import examine_machine

    examination = examine_machine(outdir, catalogue)
    if as_json:
        say(json_text(examination.findings))
    else:
        width = max(len(found.subject) for found in examination.findings)
        for found in examination.findings:
            say(f"{found.state:5}  {found.subject:{width}}  {found.text}")
            if found.remedy:
                say(f"{'':5}  {'':{width}}  -> {found.remedy}")
    if examination.n_wrong:
        say(f"{examination.n_wrong} things are wrong.", err=True)
        raise click.exceptions.Exit(1)
