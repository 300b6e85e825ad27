"""Models measured one after another on one labelled set, reported and recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hoverfast_platform.arrays import InstanceMap
from hoverfast_platform.catalogue import DEFAULT_SCOPE, Catalogue, EvaluationRecord
from hoverfast_platform.config import Compute
from hoverfast_platform.errors import SettingsError
from hoverfast_platform.evaluation.labelled_set import LabelledImage, LabelledSet
from hoverfast_platform.evaluation.results import Evaluation, paired_differences
from hoverfast_platform.inference.engine import SegmentationEngine
from hoverfast_platform.inference.evaluate_model import evaluate_model
from hoverfast_platform.model.checkpoint import LoadedModel, load_model
from hoverfast_platform.progress import OnProgress, ignore_progress
from hoverfast_platform.reports.evaluation_report import (
    write_agreement,
    write_comparison,
    write_report,
)
from hoverfast_platform.scores import MeanScores
from hoverfast_platform.use_cases.record import model_record


@dataclass(frozen=True)
class EvaluatedModel:
    """A model that was measured.

    Attributes:
        name: Name of its folder among several models.
        evaluation: Its scores.
        report_path: The HTML page about it.
    """

    name: str
    evaluation: Evaluation
    report_path: Path


@dataclass(frozen=True)
class Comparison:
    """Several models on one set.

    Attributes:
        first: Name of the model with which the others are compared.
        differences: Paired differences from the first, by name of the model.
        page_path: The HTML page that compares them.
    """

    first: str
    differences: Mapping[str, MeanScores]
    page_path: Path


def evaluate_models(
    models: Sequence[str],
    dataset: LabelledSet,
    out_dir: Path,
    *,
    reference: str = "",
    device: str = "auto",
    catalogue: Catalogue | None = None,
    scope: str = DEFAULT_SCOPE,
    progress_of: Callable[[str], OnProgress] = lambda _name: ignore_progress,
) -> Iterator[EvaluatedModel]:
    """Measure models one after another, write their reports, and record them if asked to.

    Args:
        models: Built-in names or files; all are loaded before the first is measured.
        dataset: What to measure against.
        out_dir: Gets the report; with several models, a folder for each.
        reference: What made the labels; if empty, what the set says.
        device: Where to run.
        catalogue: Gets the models as candidates, with their scores.
        scope: What they are candidates for.
        progress_of: Returns the callback that is told of a model's images.

    Raises:
        SettingsError: If two of the models are the same weights.
    """
    loaded = [load_model(name) for name in models]
    if len({model.digest for model in loaded}) < len(loaded):
        raise SettingsError(
            f"Two of the models {', '.join(models)} are the same weights.", "Give each once."
        )
    taken: set[str] = set()
    for model in loaded:
        name = _folder_name(model, taken)
        taken.add(name)
        folder = out_dir if len(loaded) == 1 else out_dir / name
        evaluation = measure_model(
            model,
            dataset,
            folder,
            reference=reference,
            device=device,
            on_progress=progress_of(model.card.name),
        )
        if catalogue is not None:
            catalogue.models.register(model_record(model), scope=scope, reason="evaluated")
            catalogue.models.record_evaluation(evaluation_record(evaluation, folder))
        yield EvaluatedModel(name, evaluation, folder / "report.html")


def compare_models(evaluated: Sequence[EvaluatedModel], out_dir: Path) -> Comparison:
    """Compare models that were measured on one set with the first of them, image by image."""
    first, *others = evaluated
    differences = {
        other.name: paired_differences(first.evaluation, other.evaluation) for other in others
    }
    reports = {model.name: model.evaluation for model in evaluated}
    return Comparison(first.name, differences, write_comparison(out_dir, reports, differences))


def measure_model(
    model: LoadedModel,
    dataset: LabelledSet,
    out_dir: Path,
    *,
    reference: str = "",
    device: str = "auto",
    on_progress: OnProgress = ignore_progress,
) -> Evaluation:
    """Measure one model, with pictures of every image and a report in ``out_dir``."""

    def draw(number: int, labelled: LabelledImage, predicted: InstanceMap) -> None:
        write_agreement(out_dir, number, labelled, predicted)

    with SegmentationEngine.of(model, Compute(device=device)) as engine:
        evaluation = evaluate_model(
            engine, dataset, reference=reference, on_scored=draw, on_progress=on_progress
        )
    write_report(out_dir, evaluation)
    return evaluation


def evaluation_record(evaluation: Evaluation, out_dir: Path) -> EvaluationRecord:
    """An evaluation as the catalogue keeps it; its report lies in ``out_dir``."""
    return EvaluationRecord(
        model_sha256=evaluation.model.sha256,
        dataset=evaluation.dataset,
        dataset_digest=evaluation.dataset_digest,
        settings_digest=evaluation.settings_digest,
        summary=evaluation.summary(),
        report_path=str(out_dir.absolute()),
    )


def _folder_name(model: LoadedModel, taken: set[str]) -> str:
    name = f"{model.card.name}-{model.card.version}".replace("/", "-")
    return name if name not in taken else f"{name}-{model.digest[:10]}"
