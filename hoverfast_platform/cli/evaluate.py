"""``hoverfast evaluate``: how good models are on a labelled set."""

from __future__ import annotations

from pathlib import Path

import click

from hoverfast_platform.cli.catalogue_option import VARIABLE, CatalogueType
from hoverfast_platform.cli.say import say


@click.command("evaluate")
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.argument("dataset", type=click.Path(path_type=Path))
@click.option(
    "-o", "--outdir", required=True, type=click.Path(path_type=Path), help="Folder for the report."
)
@click.option("--mpp", type=float, help="Micrometres per pixel of images that do not say.")
@click.option("--group", "groups", multiple=True, help="Only this patient or group; repeatable.")
@click.option(
    "--reference",
    default="",
    help="What made the labels, for the report; default: what the set says, or annotations.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, mps.")
@click.option(
    "--catalogue",
    envvar=VARIABLE,
    type=CatalogueType(exists=False),
    help="Catalogue to record the scores in, for `models promote`: a file or postgresql://...",
)
@click.option(
    "--scope", default="default", show_default=True, help="What the models are candidates for."
)
def command(  # noqa: PLR0913 - one per option
    models: tuple[str, ...],
    dataset: Path,
    outdir: Path,
    mpp: float | None,
    groups: tuple[str, ...],
    reference: str,
    device: str,
    catalogue: Path | str | None,
    scope: str,
) -> None:
    """Measure MODEL (built-in names or files) against the labels of DATASET.

    DATASET is a training or validation set (.h5, .pytable), or a folder with image/ and
    label/ of the same stems and optionally manifest.csv (columns stem, group, mpp). The labels
    may be people's or a teacher's: a student is compared with its teacher by a set the teacher
    labelled.

    OUTDIR gets report.html, images.csv, groups.csv, evaluation.json and agreement/ (white:
    both, green: only the model, magenta: only the labels); with several models one folder
    each, and comparison.html.
    """
    from contextlib import nullcontext

    from hoverfast_platform.catalogue import Catalogue
    from hoverfast_platform.cli.show import Bars
    from hoverfast_platform.evaluation.labelled_set import open_labelled_set
    from hoverfast_platform.use_cases.evaluate import compare_models, evaluate_models

    labelled = open_labelled_set(dataset, mpp=mpp, groups=groups)
    evaluated = []
    with (
        Catalogue.open(catalogue) if catalogue is not None else nullcontext() as opened,
        Bars("image") as bars,
    ):
        for model in evaluate_models(
            models,
            labelled,
            outdir,
            reference=reference,
            device=device,
            catalogue=opened,
            scope=scope,
            progress_of=bars.of,
        ):
            bars.close()
            evaluated.append(model)
            evaluation = model.evaluation
            say(
                f"{model.name} against {evaluation.reference}, {len(labelled)} images, "
                f"{evaluation.n_true} nuclei"
            )
            for score_name, interval in evaluation.overall().named():
                say(f"  {score_name:4}  {interval}")
            say(f"  report  {model.report_path}")
    if len(evaluated) > 1:
        comparison = compare_models(evaluated, outdir)
        for other, found in comparison.differences.items():
            say(f"{other} - {comparison.first}: PQ {found.pq}, AJI {found.aji}")
        say(f"  comparison  {comparison.page_path}")
