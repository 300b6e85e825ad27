"""``hoverfast sample``: a slide to try things on."""

from __future__ import annotations

from pathlib import Path

import click

from hoverfast_platform.cli.say import say


@click.command("sample")
@click.option(
    "-o",
    "--outdir",
    default=Path(),
    show_default="this folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the slide.",
)
def command(outdir: Path) -> None:
    """Put a slide into OUTDIR, to try things on, and print its path.

    Real tissue (CMU-1-Small-Region, freely given by OpenSlide, 2 MB) where the internet can be
    reached and the digest is right, else a synthetic slide; which of the two is said.
    """
    from hoverfast_platform.sample_slide import sample_slide

    made = sample_slide(outdir)
    say(made.text, err=True)
    say(made.path)
