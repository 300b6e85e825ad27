"""``hoverfast convert``: nuclei from one form of file to another."""

from __future__ import annotations

from pathlib import Path

import click

from hoverfast_platform.cli.say import say

_LIST = "?"


def _list_forms(ctx: click.Context, _option: click.Parameter, value: str) -> str:
    if value == _LIST:
        from hoverfast_platform.storage.exporters.table import listing

        say(listing())
        ctx.exit()
    return value


@click.command("convert")
@click.argument("source", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("target", type=click.Path(path_type=Path))
@click.option(
    "--to",
    is_flag=False,
    flag_value=_LIST,
    default="",
    is_eager=True,
    callback=_list_forms,
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
def command(
    source: Path, target: Path, to: str, mpp: float | None, slide: Path | None, per_shard: int
) -> None:
    """Convert SOURCE to TARGET, by their endings.

    SOURCE is a .parquet of ours, or GeoJSON (.geojson, .json, .json.gz) of the published
    HoverFast, of QuPath or of ours. TARGET ends as `hoverfast convert --to` lists: .json.gz for
    QuPath, .parquet, .csv, .h5ad, .coco.json, .zarr and others.
    """
    from hoverfast_platform.cli.show import show_each_note
    from hoverfast_platform.use_cases.convert import convert

    done = convert(source, target, to=to, mpp=mpp, slide=slide, per_shard=per_shard)
    dropped = f", {done.n_dropped} without a valid polygon left out" if done.n_dropped else ""
    say(f"{done.target}: {done.n_nuclei} nuclei{dropped}")
    show_each_note(done.notes)
