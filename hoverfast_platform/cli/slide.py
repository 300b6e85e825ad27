"""``hoverfast slide``: what a slide file says of itself, and which formats are read."""

from __future__ import annotations

from pathlib import Path

import click

from hoverfast_platform.cli.json_text import fields_of, json_option, json_text
from hoverfast_platform.cli.say import say


@click.group("slide")
def command() -> None:
    """What a slide file says of itself."""


@command.command("info")
@click.argument("place", metavar="PATH")
@click.option("--mpp", type=float, help="Micrometres per level-0 pixel, instead of the file's.")
@json_option
def info(place: str, mpp: float | None, as_json: bool) -> None:
    """Size, scale, levels and frame of the slide at PATH.

    PATH may be a TIFF at https://, s3:// and the like (extra `remote`): a few kilobytes are read.
    """
    from hoverfast_platform.config import Scale
    from hoverfast_platform.slide import open_slide
    from hoverfast_platform.slide.digest import slide_digest
    from hoverfast_platform.slide.remote import is_remote, open_remote

    path, sha256 = Path(place), "not read; `hoverfast slide fetch` reads all of it"
    if is_remote(place):
        with open_remote(place, mpp_override=mpp) as remote:
            known = remote.info
    else:
        with open_slide(path, Scale(mpp_override=mpp)) as reader:
            known = reader.info
        sha256 = slide_digest(path)
    if as_json:
        say(json_text({**fields_of(known), "sha256": sha256}))
        return
    say(f"name       {known.name}")
    say(f"format     {known.vendor}")
    say(f"size       {known.width} x {known.height} px, {known.area_mm2:.3f} mm2")
    say(f"mpp        {known.mpp.x:.4f} x {known.mpp.y:.4f} um/px ({known.mpp_source})")
    say(f"frame      {known.frame}, origin {known.origin_px}")
    for level, (width, height) in enumerate(known.level_sizes):
        x, y = known.level_downsamples[level]
        say(f"level {level:<4} {width} x {height} px, downsample {x:.4f} x {y:.4f}")
    say(f"objective  {known.objective_power or 'not stated'}")
    for note in known.notes:
        say(f"note       {note}")
    if len(known.scenes) > 1:
        say(f"scenes     {', '.join(known.scenes)}")
    say(f"sha256     {sha256}")


@command.command("extract")
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--scene", help="Name of the image, or its number from 1, of several.")
@click.option("--z", type=click.IntRange(0), help="Plane of a stack (CZI, Zarr); the first is 0.")
@click.option("--mpp", type=float, help="Micrometres per level-0 pixel, instead of the file's.")
def extract(
    source: Path, target: Path, scene: str | None, z: int | None, mpp: float | None
) -> None:
    """Make the slide TARGET, a TIFF, of one image of SOURCE: a file, or a folder of Zarr.

    CZI needs the extra `czi`.

    No pixel of the finest level is changed. The new slide has its own bytes, so masks, results and
    the catalogue never take one scene for another.
    """
    from hoverfast_platform.slide.extract import write_slide
    from hoverfast_platform.slide.open import open_scene

    with open_scene(source, mpp_override=mpp, scene=scene, z=z) as reader:
        write_slide(reader, target)
        for note in reader.info.notes:
            say(f"note  {note}")
        say(f"{target}: {reader.info.width} x {reader.info.height} px")


@command.command("fetch")
@click.argument("url")
@click.argument("folder", type=click.Path(path_type=Path))
def fetch(url: str, folder: Path) -> None:
    """Bring the slide at URL (https://, s3://, gs://; extra `remote`) into FOLDER, whole.

    A slide is known by all its bytes, so that they are read once, here. A broken connection is
    taken up again where it broke. A watched folder takes the slide in by itself.
    """
    from hoverfast_platform.slide.remote import fetch_slide

    say(str(fetch_slide(url, folder)))


@command.command("formats")
@json_option
def formats(as_json: bool) -> None:
    """Which slide formats are read, by which library, and what each was tried on."""
    from hoverfast_platform.slide.formats import FORMATS

    if as_json:
        say(json_text(FORMATS))
        return
    width = max(len(kind.name) for kind in FORMATS)
    for kind in FORMATS:
        tried = f"; tried on: {kind.tried_on}" if kind.tried_on else ""
        how = f"{kind.reader or 'not read as it is'}{tried}."
        say(f"{kind.name:{width}}  {' '.join(kind.suffixes)}\n{'':{width}}  {how} {kind.remedy}")
