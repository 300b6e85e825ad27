"""The steps of learning: cohort, teacher labels, student, evaluation, promotion.

Each step reads what the one before left under the artefact folder and in the catalogue, so
that any of them can be run again alone::

    cohorts/<name>.json                        the plan, written by people
    teacher_labels/<name>/v<k>/                the training set of version k
    students/<name>-v<k>/                      its training run and the student
    evaluations/<name>-v<k>/                   reports of the student and of what it competes with,
                                               and verdict.json of the gate
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from hoverfast_platform.arrays import InstanceMap
from hoverfast_platform.catalogue import (
    Catalogue,
    CohortRecord,
    EvaluationRecord,
    ModelStanding,
)
from hoverfast_platform.config import Compute
from hoverfast_platform.errors import SettingsError, TrainingError
from hoverfast_platform.evaluation.gate import Measured, Verdict, judge, verdict_record
from hoverfast_platform.evaluation.labelled_set import (
    LabelledImage,
    LabelledSet,
    open_labelled_set,
)
from hoverfast_platform.evaluation.promotion import Judgement, promote_judged
from hoverfast_platform.evaluation.report import write_agreement, write_report
from hoverfast_platform.evaluation.results import Evaluation
from hoverfast_platform.inference.engine import SegmentationEngine
from hoverfast_platform.inference.evaluate_model import evaluate_model
from hoverfast_platform.inference.record import model_record
from hoverfast_platform.learning.cohort import LearningFolder, find_cohort, labels_teacher
from hoverfast_platform.learning.plan import read_plan
from hoverfast_platform.model.card import LabelSource
from hoverfast_platform.model.checkpoint import LoadedModel, load_model
from hoverfast_platform.model.registry import DEFAULT_MODEL
from hoverfast_platform.progress import OnProgress, ignore_progress
from hoverfast_platform.storage.atomic import written_atomically
from hoverfast_platform.storage.patch_table import PatchTable
from hoverfast_platform.teachers.factory import make_teacher
from hoverfast_platform.teachers.labelling import Cohort, TrainingSet, label_cohort
from hoverfast_platform.teachers.sampling import Source
from hoverfast_platform.training.data import Guides, TrainingData
from hoverfast_platform.training.fit import TrainedStudent, fit


def resolve_cohort(folder: LearningFolder, catalogue: Catalogue, name: str) -> CohortRecord:
    """The cohort as its plan and the registered slides make it now, recorded in the catalogue.

    Raises:
        SettingsError: If its plan is missing or wrong.
        TrainingError: If no slide matches.
    """
    found = find_cohort(folder, catalogue.known_slides(), name)
    return catalogue.record_cohort(found, read_plan(folder.plan(name)).model_dump(mode="json"))


def make_teacher_labels(
    folder: LearningFolder,
    catalogue: Catalogue,
    cohort: CohortRecord,
    *,
    device: str = "auto",
    on_progress: OnProgress = ignore_progress,
) -> TrainingSet:
    """Label the cohort's slides; goes on where an earlier run stopped.

    Raises:
        CatalogueError: If a slide's file is known to have changed.
        HoverFastError: As :func:`~hoverfast_platform.teachers.labelling.label_cohort` does.
    """
    plan = read_plan(folder.plan(cohort.name))
    teacher = labels_teacher(folder, plan) or make_teacher(
        plan.teacher, device=device, licence=plan.teacher_licence
    )
    sources = []
    for member in cohort.members:
        mask = folder.mask(member.slide.key)
        sources.append(
            Source(
                catalogue.slide_path(member.slide.key),
                member.patient,
                mpp_if_unknown=member.slide.mpp_override,
                mask_path=mask if mask.is_file() else None,
            )
        )
    labels: tuple[LabelSource, ...] = ()
    if plan.labels is not None:
        labels = (
            LabelSource(
                name=f"{cohort.name} v{cohort.version} ({plan.labels.made_by})",
                licence=plan.labels.licence,
                citation=plan.labels.citation,
                n_images=len(sources),
            ),
        )
    return label_cohort(
        Cohort(cohort.name, sources, version=f"v{cohort.version}", labels=labels),
        teacher,
        plan.sampling,
        folder.labels(cohort),
        on_progress=on_progress,
    )


def train_student(
    folder: LearningFolder,
    catalogue: Catalogue,
    cohort: CohortRecord,
    *,
    device: str = "cpu",
    on_progress: OnProgress = ignore_progress,
) -> TrainedStudent:
    """Train on the cohort's labels and register the student as a candidate.

    Raises:
        TrainingError: If the labels cannot teach, or the loss is not finite.
    """
    plan = read_plan(folder.plan(cohort.name))
    made = _training_set(folder, cohort)
    student = fit(
        TrainingData((made.training,), made.held_out()),
        plan.training,
        folder.student(cohort),
        guides=Guides(parent=load_model(plan.parent) if plan.parent else None),
        device=device,
        on_progress=on_progress,
    )
    catalogue.register_candidate(
        model_record(load_model(student.model_path)),
        scope=plan.scope,
        reason=f"trained on cohort {cohort.name} v{cohort.version}",
    )
    return student


@dataclass(frozen=True)
class JudgedStudent:
    """A student beside the model it would replace, on the same validation set.

    Attributes:
        student: Its evaluation; pictures and tables lie in ``report_path``'s folder.
        baseline: Of the model promoted in the scope, or of the one that ships.
        judgement: Of the gate.
        report_path: HTML page.
        picture_paths: Agreement of the student with the labels, one per image.
    """

    student: Evaluation
    baseline: Evaluation
    judgement: Judgement
    report_path: Path
    picture_paths: tuple[Path, ...]


def judge_student(
    folder: LearningFolder,
    catalogue: Catalogue,
    cohort: CohortRecord,
    *,
    device: str = "auto",
    on_progress: OnProgress = ignore_progress,
) -> JudgedStudent:
    """Measure the student and what it competes with, and let the gate judge; promotes nothing.

    Where nothing is promoted in the scope, it competes with the model that ships: that is what
    segments slides until then.

    Raises:
        CatalogueError: If the student was not registered.
    """
    plan = read_plan(folder.plan(cohort.name))
    model = load_model(folder.student(cohort) / "student.safetensors")
    promoted = catalogue.promoted_model(plan.scope)
    against = load_model(_path_of(promoted) if promoted is not None else DEFAULT_MODEL)
    dataset = open_labelled_set(_training_set(folder, cohort).held_out().path)
    out_dir = folder.evaluation(cohort)
    reference = "annotations" if plan.labels is not None else f"teacher {plan.teacher}"
    student = _measure(model, dataset, out_dir / "student", reference, device, on_progress)
    baseline = (
        student
        if against.digest == model.digest
        else _measure(against, dataset, out_dir / "baseline", reference, device, on_progress)
    )
    catalogue.record_evaluation(_record(student, out_dir / "student"))
    if promoted is not None and baseline is not student:
        catalogue.record_evaluation(_record(baseline, out_dir / "baseline"))
    ours, theirs = _measured(student), _measured(baseline)
    policy = plan.gate.model_copy(update={"validation_digest": dataset.digest})
    card = model.card.model_dump(mode="json")
    verdict = judge(ours, theirs, card=card, policy=policy)
    judgement = Judgement(
        sha256=model.digest,
        scope=plan.scope,
        replaces=promoted.sha256 if promoted is not None else None,
        verdict=verdict,
        record=verdict_record(verdict, ours, theirs, policy),
    )
    with written_atomically(out_dir / "verdict.json") as part:
        part.write_text(json.dumps(asdict(judgement), indent=1), encoding="utf-8")
    return JudgedStudent(
        student=student,
        baseline=baseline,
        judgement=judgement,
        report_path=out_dir / "student" / "report.html",
        picture_paths=tuple(sorted((out_dir / "student" / "agreement").glob("*.jpg"))),
    )


def read_judgement(folder: LearningFolder, cohort: CohortRecord) -> Judgement:
    """What :func:`judge_student` found.

    Raises:
        TrainingError: If the student was not judged yet.
    """
    path = folder.evaluation(cohort) / "verdict.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrainingError(
            f"The student of cohort {cohort.name} v{cohort.version} was not judged: {path}.",
            "Materialize `model_evaluation` first.",
        ) from error
    verdict = content.pop("verdict")
    return Judgement(**content, verdict=Verdict(verdict["passed"], tuple(verdict["reasons"])))


def promote_student(
    catalogue: Catalogue, cohort: CohortRecord, judgement: Judgement
) -> ModelStanding:
    """Make a student that passed the promoted model of its scope; run again, nothing changes.

    Raises:
        CatalogueError: If it did not pass, or another was promoted since it was judged.
    """
    promoted = catalogue.promoted_model(judgement.scope)
    if promoted is None or promoted.sha256 != judgement.sha256:
        reason = f"student of cohort {cohort.name} v{cohort.version}: {judgement.verdict}"
        promote_judged(catalogue, judgement, reason=reason)
        promoted = catalogue.promoted_model(judgement.scope)
    assert promoted is not None, "it was promoted just now"
    return promoted


def _measure(
    model: LoadedModel,
    dataset: LabelledSet,
    out_dir: Path,
    reference: str,
    device: str,
    on_progress: OnProgress,
) -> Evaluation:
    def draw(number: int, labelled: LabelledImage, predicted: InstanceMap) -> None:
        write_agreement(out_dir, number, labelled, predicted)

    with SegmentationEngine.of(model, Compute(device=device)) as engine:
        evaluation = evaluate_model(
            engine, dataset, reference=reference, on_scored=draw, on_progress=on_progress
        )
    write_report(out_dir, evaluation)
    return evaluation


def _record(evaluation: Evaluation, out_dir: Path) -> EvaluationRecord:
    return EvaluationRecord(
        model_sha256=evaluation.model.sha256,
        dataset=evaluation.dataset,
        dataset_digest=evaluation.dataset_digest,
        settings_digest=evaluation.settings_digest,
        summary=evaluation.summary(),
        report_path=str(out_dir.absolute()),
    )


def _measured(evaluation: Evaluation) -> Measured:
    return Measured(
        dataset_digest=evaluation.dataset_digest,
        settings_digest=evaluation.settings_digest,
        n_images=len(evaluation.images),
        n_nuclei=evaluation.n_true,
        scores={name: interval.mean for name, interval in evaluation.overall().items()},
    )


def _training_set(folder: LearningFolder, cohort: CohortRecord) -> TrainingSet:
    labels = folder.labels(cohort)
    return TrainingSet(
        PatchTable(labels / f"{cohort.name}_train.pytable"),
        PatchTable(labels / f"{cohort.name}_test.pytable"),
    )


def _path_of(standing: ModelStanding) -> str:
    if standing.path is None:
        raise SettingsError(
            f"The promoted model {standing.name} {standing.version} has no file registered.",
            "Register it with `hoverfast evaluate --catalogue`, or roll back to another.",
        )
    return standing.path
