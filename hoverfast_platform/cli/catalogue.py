"""``hoverfast catalogue``: make, migrate, look at and copy the metadata database."""

from __future__ import annotations

from pathlib import Path

import click

from hoverfast_platform.cli.catalogue_option import VARIABLE, CatalogueType
from hoverfast_platform.cli.json_text import json_option, json_text
from hoverfast_platform.cli.say import say

_option = click.option(
    "--catalogue",
    "location",
    required=True,
    envvar=VARIABLE,
    show_envvar=True,
    type=CatalogueType(exists=False),
    help="SQLite file or postgresql://user:password@host/name.",
)


@click.group("catalogue")
def command() -> None:
    """Make, migrate, look at and copy the metadata database."""


@command.command("upgrade")
@_option
def upgrade(location: Path | str) -> None:
    """Make the catalogue, or bring it to this version's revision; all of it or nothing.

    Run it once per deployment and version, with no runs going on and a backup at hand.
    """
    from hoverfast_platform.catalogue.database import shown, upgrade_database

    before, after = upgrade_database(location)
    if before == after:
        say(f"{shown(location)} is at revision {after} already.")
    else:
        say(f"{shown(location)}: {before or 'empty'} -> {after}")


@command.command("info")
@_option
@json_option
def info(location: Path | str, as_json: bool) -> None:
    """Show where it is, its revision and its rows; exit code 1 if it cannot be used."""
    from hoverfast_platform.catalogue.database import newest_revision, shown
    from hoverfast_platform.catalogue.transfer import count_rows

    rows = count_rows(location)
    if as_json:
        where, revision = shown(location), newest_revision()
        say(json_text({"catalogue": where, "revision": revision, "rows": rows}))
        return
    say(f"{shown(location)}, revision {newest_revision()}")
    for table, n in rows.items():
        say(f"{n:>12,}  {table}")


@command.command("copy")
@click.argument("source", type=CatalogueType())
@_option
def copy(source: Path | str, location: Path | str) -> None:
    """Copy all of SOURCE into an empty --catalogue, such as a file to a server."""
    from hoverfast_platform.catalogue.database import shown
    from hoverfast_platform.catalogue.transfer import copy_catalogue

    rows = copy_catalogue(source, location)
    say(f"{sum(rows.values()):,} rows from {shown(source)} to {shown(location)}")
