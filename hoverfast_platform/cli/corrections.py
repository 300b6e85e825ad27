"""``hoverfast corrections``: what a person corrected in QuPath, as labels."""

from __future__ import annotations

from pathlib import Path

import click

from hoverfast_platform.cli.say import say


@click.command("corrections")
@click.argument("slide", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("edited", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "-o", "--outdir", required=True, type=click.Path(path_type=Path), help="The labelled set."
)
@click.option(
    "--original",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The .json.gz that was corrected: changes are counted.",
)
@click.option("--patient", default="", help="Whose slide it is. [default: the slide's stem]")
@click.option("--by", "reviewed_by", default="", help="Who reviewed it; recorded.")
@click.option("--mpp", type=float, help="Micrometres per pixel, for a slide that does not say.")
def command(  # noqa: PLR0913 - one parameter per option
    slide: Path,
    edited: Path,
    outdir: Path,
    original: Path | None,
    patient: str,
    reviewed_by: str,
    mpp: float | None,
) -> None:
    """Import EDITED, the GeoJSON of SLIDE exported from QuPath, into a labelled set.

    Only what lies in annotations of the class Reviewed is taken. Images, labels and
    manifest.csv in OUTDIR are what `teacher-labels --teacher annotations` and `evaluate` read.
    """
    from hoverfast_platform.cli.show import show_each_note
    from hoverfast_platform.teachers.corrections import Review, import_review

    review = Review(slide, edited, patient, reviewed_by, mpp_override=mpp)
    done = import_review(review, outdir, original=original)
    say(f"{len(done.stems)} reviewed regions with {done.n_nuclei} nuclei in {outdir}")
    show_each_note(done.notes)
    if original is not None:
        say(
            f"  {done.n_unchanged} unchanged, {done.n_changed} changed, {done.n_added} added, "
            f"{done.n_deleted} deleted"
        )
    say(
        f"Next: hoverfast teacher-labels NAME {outdir}/image -t annotations --labels "
        f"{outdir}/label --manifest {outdir}/manifest.csv --mpp {review.mpp:g} -o SETS"
    )
