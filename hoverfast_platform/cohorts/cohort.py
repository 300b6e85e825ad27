"""Where the steps of learning keep their files, and which slides a cohort has now.

This module imports no torch, since a sensor looks at cohorts every half minute.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hoverfast_platform.catalogue import CohortRecord, KnownSlide, ModelStanding
from hoverfast_platform.cohorts.label_sets import LabelSet, label_set
from hoverfast_platform.cohorts.plan import CohortPlan, choose_members, read_plan
from hoverfast_platform.errors import SettingsError
from hoverfast_platform.files import one_name, text_sha256
from hoverfast_platform.slide.digest import slide_digest
from hoverfast_platform.storage.shared_artefacts import SharedArtefacts
from hoverfast_platform.teachers.annotations import AnnotationsTeacher, label_stems
from hoverfast_platform.teachers.correction_files import CorrectionFile, find_corrections


@dataclass(frozen=True)
class LearningFolder:
    """Where the steps keep their files, and where the plans of cohorts are.

    Whoever asks for a place gets it as the shared store has it, where there is such a store: what
    another machine made is brought here first.

    Attributes:
        root: The artefact folder.
        plans: Plans by name of the cohort; None if each is a file, ``cohorts/<name>.json``.
        shared: The store that finished artefacts are published to; None: they stay here.
    """

    root: Path
    plans: Mapping[str, CohortPlan] | None = None
    shared: SharedArtefacts | None = None

    def here(self, path: Path) -> Path:
        """A place in the folder, once it holds what the shared store has.

        Raises:
            StorageError: If what the store has is damaged, or the store does not answer.
        """
        return path if self.shared is None else self.shared.bring(path)

    def publish(self, *paths: Path) -> None:
        """Publish what lies at these places, where there is a shared store.

        Raises:
            StorageError: If a file is missing or changed meanwhile, or the store does not answer.
        """
        if self.shared is not None:
            for path in paths:
                self.shared.publish(path)

    def publish_model(self, weights: Path, sha256: str) -> None:
        """Publish a model by its digest, where there is a shared store.

        Raises:
            StorageError: As :meth:`publish` does.
        """
        if self.shared is not None:
            self.shared.publish_model(weights, sha256)

    def model_file(self, standing: ModelStanding) -> Path | None:
        """The weights of a registered model as the shared store has them; None if it lacks them."""
        return None if self.shared is None else self.shared.fetch_model(standing.sha256)

    def plan(self, name: str) -> Path:
        """The file of a plan, where plans are files."""
        return self.root / "cohorts" / f"{one_name(name)}.json"

    def read_plan(self, name: str) -> CohortPlan:
        """The plan of a cohort.

        Raises:
            SettingsError: If there is none, or it is wrong; every wrong field is named.
        """
        if self.plans is None:
            return read_plan(self.here(self.plan(name)))
        if name not in self.plans:
            raise SettingsError(
                f"There is no plan of the cohort {name}, only of {', '.join(self.plans)}.",
                "Take the name that the component `Cohort` has.",
            )
        return self.plans[name]

    def plan_names(self) -> list[str]:
        """Names of all cohorts that have a plan, sorted."""
        if self.plans is not None:
            return sorted(self.plans)
        return sorted(path.stem for path in self._all_of("cohorts").glob("*.json"))

    def labels_of(self, plan: CohortPlan) -> Path | None:
        """Folder of the labels a plan uses; relative ones are seen from the plan's own."""
        if plan.labels is None:
            return None
        folder = self.root / "cohorts" / plan.labels.folder
        if self.shared is not None and folder.resolve() == (self.root / "corrections").resolve():
            self._all_of("corrections")
        return folder

    @property
    def label_sets(self) -> Path:
        """Where the label sets are that plans can name."""
        return self._all_of("label_sets")

    def label_sets_of(self, plan: CohortPlan) -> tuple[LabelSet, ...]:
        """The label sets that a plan names.

        Raises:
            LabelError: If one is missing.
        """
        return tuple(label_set(self.label_sets, name) for name in plan.label_sets)

    @property
    def corrections(self) -> Path:
        """Where the viewer saves what people corrected, and where people put exports of QuPath."""
        return self._all_of("corrections")

    def labels(self, cohort: CohortRecord) -> Path:
        """Folder of the training set that was made for a version of a cohort."""
        return self.here(self.root / "teacher_labels" / cohort.name / f"v{cohort.version}")

    def student(self, cohort: CohortRecord) -> Path:
        """Folder of the training run and of the student that a version of a cohort led to."""
        return self.here(self.root / "students" / f"{cohort.name}-v{cohort.version}")

    def evaluation(self, cohort: CohortRecord) -> Path:
        """Folder of the reports of that student and of the model in use, and of the verdict."""
        return self.here(self.root / "evaluations" / f"{cohort.name}-v{cohort.version}")

    def mask(self, slide_key: str) -> Path:
        """File of the tissue mask of a slide."""
        return self.here(self.root / "masks" / f"{one_name(slide_key)}.png")

    def nuclei(self, slide_key: str) -> Path:
        """Folder of the nuclei of a slide."""
        return self.here(self.root / "nuclei" / one_name(slide_key))

    def _all_of(self, name: str) -> Path:
        """A folder of what people write, once all that was published of it is here."""
        folder = self.root / name
        return folder if self.shared is None else self.shared.bring_all(folder)


def find_cohort(folder: LearningFolder, slides: Sequence[KnownSlide], name: str) -> CohortRecord:
    """The cohort that its plan and the registered slides make now, as version 0: not recorded.

    Raises:
        SettingsError: If its plan is missing or wrong.
        TrainingError: If no slide matches.
        LabelError: If its folder of labels or one of its label sets is missing.
        StorageError: If a label set is damaged.
    """
    plan = folder.read_plan(name)
    found = choose_members(name, plan, slides, _stems(folder, plan, slides))
    if plan.label_sets:
        sets = " ".join(named.digest() for named in folder.label_sets_of(plan))
        found = replace(found, digest=text_sha256(f"{found.digest} {sets}"))
    if plan.labels is None:
        return found
    # corrected labels make a new version, too
    digest = text_sha256(f"{found.digest} {_labels_digest(folder, plan, found)}")
    return replace(found, digest=digest)


def corrections_of(
    folder: LearningFolder, plan: CohortPlan, slides: Sequence[KnownSlide]
) -> dict[str, tuple[CorrectionFile, ...]]:
    """Files with corrections that have something to teach, by the slide's key.

    Raises:
        LabelError: If one cannot be read.
    """
    labels_dir = folder.labels_of(plan)
    files = find_corrections(labels_dir) if labels_dir is not None else ()
    found = {
        slide.key: tuple(f for f in files if f.teaches and f.is_of(slide.sha256, slide.name))
        for slide in slides
    }
    return {key: own for key, own in found.items() if own}


def _labels_digest(folder: LearningFolder, plan: CohortPlan, cohort: CohortRecord) -> str:
    if plan.labels is not None and plan.labels.only_reviewed:
        own = corrections_of(folder, plan, [member.slide for member in cohort.members])
        return text_sha256(" ".join(slide_digest(f.path) for files in own.values() for f in files))
    teacher = labels_teacher(folder, plan)
    return "" if teacher is None else teacher.describe().digest


def _stems(
    folder: LearningFolder, plan: CohortPlan, slides: Sequence[KnownSlide]
) -> frozenset[str] | None:
    labels_dir = folder.labels_of(plan)
    if plan.labels is not None and plan.labels.only_reviewed:
        corrected = corrections_of(folder, plan, slides)
        return frozenset(Path(slide.name).stem for slide in slides if slide.key in corrected)
    return label_stems(labels_dir) if labels_dir is not None else None


def labels_teacher(folder: LearningFolder, plan: CohortPlan) -> AnnotationsTeacher | None:
    """The labels a plan names, as a teacher; None where a teacher makes them."""
    labels_dir = folder.labels_of(plan)
    if plan.labels is None or labels_dir is None:
        return None
    return AnnotationsTeacher(labels_dir, made_by=plan.labels.made_by, licence=plan.labels.licence)
