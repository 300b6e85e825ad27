"""The loop behind ``evaluate``: one engine after another on one labelled set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
from tqdm import tqdm

from hoverfast_platform.arrays import InstanceMap
from hoverfast_platform.catalogue import Catalogue, EvaluationRecord
from hoverfast_platform.config import Compute
from hoverfast_platform.errors import SettingsError
from hoverfast_platform.evaluation.labelled_set import LabelledImage, LabelledSet
from hoverfast_platform.evaluation.report import write_agreement, write_comparison, write_report
from hoverfast_platform.evaluation.results import Evaluation, paired_differences
from hoverfast_platform.inference.engine import SegmentationEngine
from hoverfast_platform.inference.evaluate_model import evaluate_model
from hoverfast_platform.inference.record import model_record
from hoverfast_platform.model.checkpoint import LoadedModel, load_model
from hoverfast_platform.progress import Progress


def evaluate_models(
    models: Sequence[str],
    dataset: LabelledSet,
    out_dir: Path,
    *,
    reference: str,
    device: str,
    candidates_in: tuple[Path | str, str] | None,
) -> None:
    """Measure models one after another, write their reports, and record them if asked to.

    Args:
        models: Built-in names or files; all are loaded before the first is measured.
        dataset: What to measure against.
        out_dir: For the report; with several models, for a folder each.
        reference: What made the labels; empty takes what the set says.
        device: Where to run.
        candidates_in: Catalogue and scope to register the models and their scores in.
    """
    loaded = [load_model(name) for name in models]
    if len({model.digest for model in loaded}) < len(loaded):
        raise SettingsError(
            f"Of the models {', '.join(models)} two are the same weights.", "Give each once."
        )
    reports: dict[str, Evaluation] = {}
    for model in loaded:
        name = _folder_name(model, reports)
        folder = out_dir if len(loaded) == 1 else out_dir / name
        evaluation = _evaluate(model, dataset, folder, reference, device)
        reports[name] = evaluation
        click.echo(
            f"{name} against {evaluation.reference}, {len(dataset)} images, "
            f"{evaluation.n_true} nuclei"
        )
        for score_name, interval in evaluation.overall().items():
            click.echo(f"  {score_name:4}  {interval}")
        click.echo(f"  report  {write_report(folder, evaluation)}")
        if candidates_in is not None:
            _record(model, evaluation, folder, *candidates_in)
    if len(reports) > 1:
        first, *others = reports
        differences = {o: paired_differences(reports[first], reports[o]) for o in others}
        for other, found in differences.items():
            click.echo(f"{other} - {first}: PQ {found['pq']}, AJI {found['aji']}")
        click.echo(f"  comparison  {write_comparison(out_dir, reports, differences)}")


def _evaluate(
    model: LoadedModel, dataset: LabelledSet, folder: Path, reference: str, device: str
) -> Evaluation:
    def draw(number: int, labelled: LabelledImage, predicted: InstanceMap) -> None:
        write_agreement(folder, number, labelled, predicted)

    with (
        SegmentationEngine.of(model, Compute(device=device)) as engine,
        tqdm(desc=model.card.name, unit="image", total=len(dataset)) as bar,
    ):

        def show(progress: Progress) -> None:
            bar.update(progress.n_done - bar.n)

        return evaluate_model(
            engine, dataset, reference=reference, on_scored=draw, on_progress=show
        )


def _folder_name(model: LoadedModel, taken: dict[str, Evaluation]) -> str:
    name = f"{model.card.name}-{model.card.version}".replace("/", "-")
    return name if name not in taken else f"{name}-{model.digest[:10]}"


def _record(
    model: LoadedModel, evaluation: Evaluation, folder: Path, catalogue: Path | str, scope: str
) -> None:
    with Catalogue.open(catalogue) as opened:
        opened.models.register(model_record(model), scope=scope, reason="evaluated")
        opened.models.record_evaluation(
            EvaluationRecord(
                model_sha256=model.digest,
                dataset=evaluation.dataset,
                dataset_digest=evaluation.dataset_digest,
                settings_digest=evaluation.settings_digest,
                summary=evaluation.summary(),
                report_path=str(folder.absolute()),
            )
        )
