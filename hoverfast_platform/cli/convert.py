"""``hoverfast convert``: nuclei from one form of file to another."""

from __future__ import annotations

from pathlib import Path

import click

from hoverfast_platform.cli.json_text import json_option, json_text
from hoverfast_platform.cli.say import say

_LIST = "?"


@click.command("convert")
@click.argument(
    "source",
    metavar="SOURCE",
    required=False,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
)
@click.argument("target", metavar="TARGET", required=False, type=click.Path(path_type=Path))
@click.option(
    "--to",
    is_flag=False,
    flag_value=_LIST,
    default="",
    help="Name of the form, where TARGET's ending does not say it. `hoverfast convert --to` lists "
    "all forms.",
)
@click.option(
    "--mpp",
    type=float,
    help="Micrometres per pixel, where SOURCE does not say: files of the published tool.",
)
@click.option(
    "--slide",
    type=click.Path(path_type=Path, exists=True),
    help="For DICOM: the DICOM slide, file or folder, that the annotations shall refer to.",
)
@click.option(
    "--per-shard", type=int, help="Nuclei in each file of a .zip. [default: 50000]", default=50_000
)
@json_option
def command(  # noqa: PLR0913 - one per option
    source: Path | None,
    target: Path | None,
    to: str,
    mpp: float | None,
    slide: Path | None,
    per_shard: int,
    as_json: bool,
) -> None:
    """Convert SOURCE to TARGET, by their endings.

    SOURCE is a .parquet of ours, or GeoJSON (.geojson, .json, .json.gz) of the published
    HoverFast, of QuPath or of ours. TARGET ends as `hoverfast convert --to` lists: .json.gz for
    QuPath, .parquet, .csv, .h5ad, .coco.json, .zarr and others.
    """
    if to == _LIST:
        _list_forms(as_json=as_json)
        return
    if source is None or target is None:
        raise click.UsageError(
            "SOURCE and TARGET are needed: the file that is read and the one that is written."
        )
    from hoverfast_platform.cli.show import show_each_note
    from hoverfast_platform.use_cases.convert import convert

    done = convert(source, target, to=to, mpp=mpp, slide=slide, per_shard=per_shard)
    if as_json:
        say(json_text(done))
        return
    dropped = f", {done.n_dropped} without a valid polygon left out" if done.n_dropped else ""
    say(f"{done.target}: {done.n_nuclei} nuclei{dropped}")
    show_each_note(done.notes)


def _list_forms(*, as_json: bool) -> None:
    from hoverfast_platform.storage.exporters.table import EXPORTERS, listing

    say(json_text([one.facts() for one in EXPORTERS]) if as_json else listing())
