"""``hoverfast teacher-labels``: slides or annotated images in, a training set out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hoverfast_platform.cli.say import say
from hoverfast_platform.config import InstanceDecoding


@click.command("teacher-labels")
@click.argument("name")
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option(
    "-o", "--outdir", required=True, type=click.Path(path_type=Path), help="Folder for the set."
)
@click.option(
    "-t",
    "--teacher",
    required=True,
    help="classical; annotations (with --labels); hovernet:FILE, published HoVer-Net weights; or "
    "names or files of our own models, joined by '+', seen from 8 sides and averaged.",
)
@click.option(
    "--foreground-threshold",
    type=float,
    default=InstanceDecoding().foreground_threshold,
    show_default=True,
    help="Lowest averaged probability of a nuclear pixel, where our own models teach.",
)
@click.option(
    "--labels",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of label images or QuPath GeoJSON, one per source, of the same name.",
)
@click.option(
    "--licence",
    default="",
    help="Licence of the labels or of HoVer-Net's weights; students inherit it.",
)
@click.option("--citation", default="", help="What to cite for them.")
@click.option("--made-by", default="people", show_default=True, help="Who made those labels.")
@click.option(
    "--mpp",
    type=float,
    help="Micrometres per pixel of files that do not say; never instead of what they say.",
)
@click.option(
    "--nucleus-um",
    type=float,
    help=(
        "For labelled images of unknown scale, instead of --mpp: the median diameter of "
        "their nuclei in micrometres, from which the scale is computed."
    ),
)
@click.option(
    "--manifest",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="CSV with columns stem and group: which patient a source is of.",
)
@click.option(
    "-b",
    "--binmask-dir",
    type=click.Path(path_type=Path, exists=True),
    help="Folder or table of tissue masks of slides. Default: built-in detection.",
)
@click.option("--tiles-per-slide", type=int, help="Random tiles of each slide. [default: 20]")
@click.option("--tile-px", type=int, help="Side of tiles and patches. [default: 1024]")
@click.option(
    "--validation-fraction", type=float, help="Share of patients; 0: none. [default: 0.2]"
)
@click.option(
    "--validation-group",
    "validation_groups",
    multiple=True,
    help="Exactly these patients to validate on; may be given several times.",
)
@click.option(
    "--max-implausible-share",
    type=float,
    help=(
        "Leave out tiles with a larger share of their nuclear area in outlines that no "
        "single nucleus has. [default: 1, none; 0.18 for students' labels]"
    ),
)
@click.option(
    "--counterstain",
    is_flag=True,
    help="The images show hematoxylin alone: lay eosin over them, as --seed decides. "
    "Needs --validation-fraction 0.",
)
@click.option(
    "--weight",
    type=float,
    default=1.0,
    help="How often training draws from this set, beside others.",
)
@click.option("--seed", type=int, help="Seed of tiles, split and eosin. [default: 0]")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, mps.")
def command(name: str, sources: tuple[Path, ...], outdir: Path, **options: Any) -> None:
    """Label SOURCES with a teacher, into OUTDIR/NAME_train.pytable and NAME_test.pytable.

    Of slides, random tiles on tissue are labelled; flat images are labelled whole. Patients,
    or slides where they are not known, are never on both sides. A folder stands for the files
    in it. The same command goes on with a labelling that was interrupted.
    """
    from hoverfast_platform.cli.show import progress_bar, show_each_note
    from hoverfast_platform.teachers.sampling import Sampling
    from hoverfast_platform.use_cases.label import LabellingRequest, label

    given = {field: options.pop(field) for field in Sampling.model_fields if field in options}
    fields = {field: value for field, value in given.items() if value not in (None, ())}
    request = LabellingRequest(
        name=name, sources=sources, outdir=outdir, sampling=Sampling(**fields), **options
    )
    with progress_bar(name, "tile") as show:
        made = label(request, on_progress=show)
    show_each_note(made.notes)
    if made.n_left_out:
        say(f"left out: {made.n_left_out} tiles whose labels are not plausible as nuclei")
    for part, table in (("training", made.training), ("validation", made.validation)):
        if table is None:
            continue
        say(
            f"{part}: {int(table.n_nuclei.sum())} nuclei in {len(table)} patches of "
            f"{len(set(table.groups))} patients or slides\n  {table.path}"
        )
