"""Learning from a cohort, step by step: cohort, teacher labels, student, evaluation, promotion.

Each step reads what the one before left under the artefact folder and in the catalogue, so
that any of them can be run again alone::

    cohorts/<name>.json                        the plan, written by people
    teacher_labels/<name>/v<k>/                the training set of version k
    students/<name>-v<k>/                      its training run and the student
    evaluations/<name>-v<k>/                   reports of the student and of what it competes with,
                                               and verdict.json of the gate
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hoverfast_platform.catalogue import (
    Catalogue,
    CohortMemberRecord,
    CohortRecord,
    ModelStanding,
)
from hoverfast_platform.cohorts.cohort import (
    LearningFolder,
    corrections_of,
    find_cohort,
    labels_teacher,
)
from hoverfast_platform.cohorts.plan import CohortPlan
from hoverfast_platform.errors import AbsentSlideError, TrainingError
from hoverfast_platform.evaluation.gate import judge
from hoverfast_platform.evaluation.labelled_set import (
    open_labelled_set,
)
from hoverfast_platform.evaluation.promotion import Judgement, promote_judged
from hoverfast_platform.evaluation.results import Evaluation
from hoverfast_platform.files import read_settings_file, write_text
from hoverfast_platform.model.card import LabelSource
from hoverfast_platform.model.checkpoint import LoadedModel, load_model
from hoverfast_platform.progress import OnProgress, ignore_progress
from hoverfast_platform.storage.patch_table import PatchTable
from hoverfast_platform.teachers.annotations import AnnotationsTeacher
from hoverfast_platform.teachers.corrections import Review, import_review
from hoverfast_platform.teachers.factory import make_teacher
from hoverfast_platform.teachers.labelling import Cohort, TrainingSet, label_cohort
from hoverfast_platform.teachers.sampling import Source
from hoverfast_platform.teachers.teacher import Teacher
from hoverfast_platform.training.data import Guides, TrainingData
from hoverfast_platform.training.fit import TrainedStudent, fit
from hoverfast_platform.use_cases.evaluate import evaluation_record, measure_model
from hoverfast_platform.use_cases.models_in_use import model_in_use
from hoverfast_platform.use_cases.record import model_record, training_set_record


def resolve_cohort(folder: LearningFolder, catalogue: Catalogue, name: str) -> CohortRecord:
    """Record the cohort that its plan and the registered slides make now.

    Raises:
        SettingsError: If its plan is missing or wrong.
        TrainingError: If no slide matches.
    """
    found = find_cohort(folder, catalogue.slides.all(), name)
    return catalogue.cohorts.record(found, folder.read_plan(name).model_dump(mode="json"))


def make_teacher_labels(
    folder: LearningFolder,
    catalogue: Catalogue,
    cohort: CohortRecord,
    *,
    device: str = "auto",
    on_progress: OnProgress = ignore_progress,
) -> TrainingSet:
    """Label the cohort's slides; a run that was stopped goes on where it was.

    Raises:
        CatalogueError: If a slide's file is known to have changed.
        AbsentSlideError: If a slide's file is gone.
        HoverFastError: As :func:`~hoverfast_platform.teachers.labelling.label_cohort` does.
    """
    plan = folder.read_plan(cohort.name)
    if not cohort.members:  # label sets alone, which are labelled already
        return _noted(catalogue, _training_set(folder, plan, cohort))
    if plan.labels is not None and plan.labels.only_reviewed:
        sources, teacher = _reviewed_regions(folder, catalogue, cohort, plan)
    else:
        sources = _slides_of(folder, catalogue, cohort)
        teacher = labels_teacher(folder, plan) or make_teacher(
            plan.teacher, device=device, licence=plan.teacher_licence
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
    made = label_cohort(
        Cohort(cohort.name, sources, version=f"v{cohort.version}", labels=labels),
        teacher,
        plan.sampling,
        folder.labels(cohort),
        on_progress=on_progress,
    )
    folder.publish(made.training.path.parent)
    return _noted(catalogue, made)


def _noted(catalogue: Catalogue, made: TrainingSet) -> TrainingSet:
    """The same training set, once the catalogue knows what it was made from."""
    for table in (made.training, made.validation):
        if table is not None:
            catalogue.descent.record_training_set(training_set_record(table))
    return made


def _slides_of(folder: LearningFolder, catalogue: Catalogue, cohort: CohortRecord) -> list[Source]:
    """The files of a cohort's slides, each with its mask where there is one."""
    sources = []
    for member in cohort.members:
        mask = folder.mask(member.slide.key)
        sources.append(
            Source(
                _file_of(catalogue, cohort, member),
                member.patient,
                mpp_if_unknown=member.slide.mpp_override,
                mask_path=mask if mask.is_file() else None,
            )
        )
    return sources


def _file_of(catalogue: Catalogue, cohort: CohortRecord, member: CohortMemberRecord) -> Path:
    """The file of a slide; raises AbsentSlideError if it is away."""
    path = catalogue.slides.path(member.slide.key)
    if not path.exists():
        raise AbsentSlideError(
            f"{path} of cohort {cohort.name} v{cohort.version} is not there any more.",
            "Put it back and materialize `teacher_labels`; or let it be: once its watched "
            "folder was looked at, the cohort's next version goes without it by itself.",
        )
    return path


def _reviewed_regions(
    folder: LearningFolder, catalogue: Catalogue, cohort: CohortRecord, plan: CohortPlan
) -> tuple[list[Source], Teacher]:
    """The regions that people looked at as images, and their corrections as a teacher."""
    assert plan.labels is not None
    out_dir = folder.labels(cohort) / "reviewed"
    corrected = corrections_of(folder, plan, [member.slide for member in cohort.members])
    sources: list[Source] = []
    for member in cohort.members:
        files = [file.path for file in corrected.get(member.slide.key, ())]
        if not files:  # another slide of the same name is the one that was corrected
            continue
        review = Review(
            _file_of(catalogue, cohort, member),
            files[0],
            patient=member.patient,
            mpp_override=member.slide.mpp_override,
            also=tuple(files[1:]),
        )
        images = [
            out_dir / "image" / f"{stem}.png" for stem in import_review(review, out_dir).stems
        ]
        sources += [Source(path, member.patient, mpp_if_unknown=review.mpp) for path in images]
    teacher = AnnotationsTeacher(
        out_dir / "label", made_by=plan.labels.made_by, licence=plan.labels.licence
    )
    return sources, teacher


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
    plan = folder.read_plan(cohort.name)
    made = _training_set(folder, plan, cohort)
    tables = [made.training]
    for named in folder.label_sets_of(plan)[0 if cohort.members else 1 :]:
        tables.append(named.training())
        catalogue.descent.record_training_set(training_set_record(tables[-1]))
    parent = load_model(_parent(folder, plan.parent)) if plan.parent else None
    if parent is not None:
        catalogue.models.note(model_record(parent))
    student = fit(
        TrainingData(tuple(tables), made.held_out()),
        plan.training,
        folder.student(cohort),
        guides=Guides(parent=parent),
        device=device,
        on_progress=on_progress,
    )
    model = load_model(student.model_path)
    folder.publish(student.model_path)
    folder.publish_model(model.path, model.digest)
    catalogue.models.register(
        model_record(model),
        scope=plan.scope,
        reason=f"trained on cohort {cohort.name} v{cohort.version}",
    )
    return student


@dataclass(frozen=True)
class JudgedStudent:
    """A student beside the model it would replace, on the same validation set.

    Attributes:
        student: Its evaluation; pictures and tables lie in ``report_path``'s folder.
        baseline: Evaluation of the model that its scope uses.
        judgement: What the gate found.
        report_path: The HTML page about the student.
        picture_paths: Pictures of where the student agrees with the labels, one per image.
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
    """Measure the student and the model in use, and let the gate judge; nothing is promoted.

    The model in use segments the slides of the student's scope until now: the model promoted there,
    else the one promoted by default, else the one that ships with the platform.

    Raises:
        CheckpointError: If there is no student.
    """
    plan = folder.read_plan(cohort.name)
    model = load_model(folder.student(cohort) / "student.safetensors")
    catalogue.models.register(  # the plan may name another scope than when it was trained
        model_record(model),
        scope=plan.scope,
        reason=f"judged for cohort {cohort.name} v{cohort.version}",
    )
    in_place = model_in_use(catalogue, plan.scope, elsewhere=folder.model_file)
    against = load_model(in_place.path)
    dataset = open_labelled_set(_training_set(folder, plan, cohort).held_out().path)
    out_dir = folder.evaluation(cohort)
    is_given = plan.labels is not None or not cohort.members
    reference = "annotations" if is_given else f"teacher {plan.teacher}"

    def measure(measured: LoadedModel, folder: Path) -> Evaluation:
        return measure_model(
            measured,
            dataset,
            folder,
            reference=reference,
            device=device,
            on_progress=on_progress,
        )

    student = measure(model, out_dir / "student")
    baseline = student if against.digest == model.digest else measure(against, out_dir / "baseline")
    ours = evaluation_record(student, out_dir / "student")
    theirs = evaluation_record(baseline, out_dir / "baseline")
    catalogue.models.record_evaluation(ours)
    if baseline is not student:
        if in_place.standing is None:  # what ships is registered like any other
            catalogue.models.register(
                model_record(against), scope=plan.scope, reason="ships with the platform"
            )
        catalogue.models.record_evaluation(theirs)
    # A model promoted by default is competed with, and stays what it is.
    replaces = catalogue.models.promoted(plan.scope)
    policy = plan.gate.model_copy(update={"validation_digest": dataset.digest})
    card = model.card.model_dump(mode="json")
    judgement = Judgement(
        sha256=model.digest,
        scope=plan.scope,
        replaces=replaces.sha256 if replaces is not None else None,
        verdict=judge(
            ours.measured,
            theirs.measured,
            card=card,
            ancestry=catalogue.descent.ancestry(model.digest),
            policy=policy,
        ),
    )
    write_text(out_dir / "verdict.json", judgement.model_dump_json(indent=1))
    folder.publish(out_dir)
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
    remedy = "Materialize `model_evaluation` first."
    if not path.is_file():
        raise TrainingError(
            f"The student of cohort {cohort.name} v{cohort.version} was not judged: {path}.", remedy
        )
    return read_settings_file(
        path, Judgement, what="a readable verdict", remedy=remedy, raises=TrainingError
    )


def promote_student(
    catalogue: Catalogue, cohort: CohortRecord, judgement: Judgement
) -> ModelStanding:
    """Promote a student that passed the gate; running this again changes nothing.

    Raises:
        CatalogueError: If it did not pass, or another was promoted since it was judged.
    """
    promoted = catalogue.models.promoted(judgement.scope)
    if promoted is None or promoted.sha256 != judgement.sha256:
        reason = f"student of cohort {cohort.name} v{cohort.version}: {judgement.verdict}"
        promote_judged(catalogue, judgement, reason=reason)
        promoted = catalogue.models.promoted(judgement.scope)
    assert promoted is not None, "it was promoted just now"
    return promoted


def _parent(folder: LearningFolder, name_or_path: str) -> str | Path:
    """A model that ships, or a file; a student of another machine is brought here."""
    path = Path(name_or_path)
    return folder.here(path) if path.is_absolute() else name_or_path


def _training_set(folder: LearningFolder, plan: CohortPlan, cohort: CohortRecord) -> TrainingSet:
    """What was made of the cohort's slides; of a cohort without slides, its first label set."""
    if not cohort.members:
        first = folder.label_sets_of(plan)[0]
        return TrainingSet(first.training(), first.held_out())
    labels = folder.labels(cohort)
    return TrainingSet(
        PatchTable(labels / f"{cohort.name}_train.pytable"),
        PatchTable(labels / f"{cohort.name}_test.pytable"),
    )
