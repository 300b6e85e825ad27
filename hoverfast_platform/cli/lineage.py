"""``hoverfast lineage``: where a result came from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hoverfast_platform.cli.catalogue_option import VARIABLE, CatalogueType
from hoverfast_platform.cli.json_text import json_option, json_text
from hoverfast_platform.cli.say import say

if TYPE_CHECKING:
    from hoverfast_platform.reports.lineage import Story


@click.command("lineage")
@click.argument("slide_or_file")
@click.option(
    "--catalogue",
    envvar=VARIABLE,
    type=CatalogueType(),
    help="Catalogue to ask: OUTDIR/catalogue.sqlite, or postgresql://... Without it the file "
    "itself is read.",
)
@json_option
@click.option("--graph", is_flag=True, help="A Mermaid flow chart, for GitHub, GitLab, Obsidian.")
@click.option("--svg", is_flag=True, help="The same as a picture: `... --svg > lineage.svg`.")
def command(
    slide_or_file: str, catalogue: Path | str | None, as_json: bool, graph: bool, svg: bool
) -> None:
    """Where SLIDE_OR_FILE came from: slide bytes, mask, model, labels, settings, code, run.

    Without a catalogue SLIDE_OR_FILE is a result (.json.gz, .parquet, .summary.json), which
    carries its own record. With one it may also be a slide's name, path, key or digest; the
    result that is current comes first.
    """
    from hoverfast_platform.reports.lineage import lineage_lines
    from hoverfast_platform.reports.lineage_graph import LineageGraph

    if catalogue is None:
        record, stories = _of_file(Path(slide_or_file))
    else:
        record, stories = _of_catalogue(slide_or_file, catalogue)
    if as_json or not stories:
        say(json_text(record))
    elif graph:
        say(LineageGraph.of(stories[0]).mermaid())
    elif svg:
        say(LineageGraph.of(stories[0]).svg())
    else:
        say("\n\n".join("\n".join(lineage_lines(story)) for story in stories))
    _tell_of_changes(stories)


def _tell_of_changes(stories: list[Story]) -> None:
    """Files that are not what was recorded; those of a replaced result have the current one's."""
    from hoverfast_platform.storage.publish import differing_files

    current = [story.entry for story in stories if story.entry and story.entry.is_current]
    differing = [path for entry in current for path in differing_files(entry.files)]
    for path in differing:
        say(f"note: {path} is not what was recorded; segment the slide again.", err=True)
    if differing:
        raise click.exceptions.Exit(1)


def _of_file(path: Path) -> tuple[object, list[Story]]:
    """What a file records, and its story if it is a result of ours."""
    from hoverfast_platform.provenance import Provenance
    from hoverfast_platform.reports.lineage import Story
    from hoverfast_platform.storage.read_provenance import read_provenance

    record = read_provenance(path)
    made_from = Provenance.found_in(record, path.name)
    return record, [Story(made_from)] if made_from is not None else []


def _of_catalogue(text: str, location: Path | str) -> tuple[object, list[Story]]:
    from hoverfast_platform.catalogue import Catalogue
    from hoverfast_platform.catalogue.database import shown
    from hoverfast_platform.errors import CatalogueError
    from hoverfast_platform.reports.lineage import story_of

    with Catalogue.open(location) as opened:
        found = opened.results.lineage(text)
        if not found.entries and Path(text).exists():
            found = opened.results.lineage(str(Path(text).absolute()))
        if not found.entries:
            raise CatalogueError(
                f"{shown(location)} knows nothing of {text}.",
                "Give a slide's name, path or digest, or a result file.",
            )
        stories = [story_of(opened, entry) for entry in found.entries]
    return [entry.model_dump(mode="json") for entry in found.entries], stories
