"""``hoverfast train``: a training set in, a student out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hoverfast_platform.cli.say import say


@click.command("train")
@click.argument("dataname")
@click.option(
    "-o",
    "--outdir",
    default=Path("output"),
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder for students.",
)
@click.option(
    "-p",
    "--dataset_path",
    "--dataset-path",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="Folder of the training set. Default: here.",
)
@click.option(
    "--also",
    multiple=True,
    metavar="NAME",
    help="Learn from NAME_train.pytable too; may be given several times.",
)
@click.option(
    "-b",
    "--batch_size",
    "--batch-size",
    "batch_size",
    type=int,
    help="Crops per step. [default: 16]",
)
@click.option(
    "-n",
    "--n_worker",
    "--n-worker",
    "n_loaders",
    type=int,
    help="Processes that prepare crops. [default: 1]",
)
@click.option("-e", "--epoch", type=float, help="Passes over the set's area, instead of --steps.")
@click.option("-d", "--depth", type=int, help="Levels of the network. [default: 3]")
@click.option("-w", "--width", type=int, help="Its first filters are 2**width. [default: 4]")
@click.option(
    "--unlabelled",
    multiple=True,
    metavar="NAME",
    help=(
        "Also learn what --teacher sees in the images of NAME_train.pytable, whose labels "
        "are not used; may be given several times."
    ),
)
@click.option(
    "--teacher",
    help="Model (name or file) whose maps are taught beside the labels, and alone where there are "
    "none.",
)
@click.option("--steps", "n_steps", type=int, help="Optimiser steps. [default: 20000]")
@click.option("--parent", help="Model to start from (name or file): makes a site-specific one.")
@click.option("--mpp", type=float, help="For sets of the published trainer, which do not say.")
@click.option("--crop-px", type=int, help="Side of the crops. [default: 256]")
@click.option(
    "--learning-rate", type=float, help="Largest learning rate of the training. [default: 0.001]"
)
@click.option("--seed", type=int, help="Seed of weights and crops. [default: 0]")
@click.option(
    "--settings",
    "settings_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="JSON file of further training settings; options given here win.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, mps.")
def command(dataname: str, outdir: Path, **options: Any) -> None:
    """Train a student on DATANAME_train.pytable, validated on DATANAME_test.pytable.

    `hoverfast teacher-labels` makes the two files. The student is student.safetensors in
    OUTDIR/DATANAME, with its card beside; TensorBoard reads OUTDIR. The same command goes on
    with a training that was interrupted, and does nothing where it is finished.
    """
    from hoverfast_platform.cli.show import progress_bar
    from hoverfast_platform.training.settings import TrainingSettings
    from hoverfast_platform.use_cases.train import TrainingRequest, prepare_training, train

    given = {name: options.pop(name) for name in TrainingSettings.model_fields if name in options}
    fields = {name: value for name, value in given.items() if value is not None}
    prepared = prepare_training(
        TrainingRequest(dataname=dataname, outdir=outdir, fields=fields, **options)
    )
    data, n_steps = prepared.data, prepared.settings.n_steps
    say(
        f"{sum(len(table) for table in data.training)} patches with "
        f"{sum(int(table.n_nuclei.sum()) for table in data.training)} nuclei to learn from, "
        f"{len(data.validation)} with {int(data.validation.n_nuclei.sum())} to validate on, "
        f"{n_steps} steps"
    )
    with progress_bar(dataname, "step", n_steps) as show:
        student = train(prepared, on_progress=show)
    kept = student.kept
    say(
        f"Student of step {kept.step} of {student.n_steps}: Dice {kept.dice:.3f}, "
        f"AJI {kept.aji:.3f}, PQ {kept.pq:.3f} on the validation set\n  {student.model_path}"
    )
