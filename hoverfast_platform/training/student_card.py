"""What is said about a student: from what it was made, and how good it is on its validation set."""

from __future__ import annotations

from collections.abc import Iterable

from hoverfast_platform.model.card import Metrics, ModelCard, distinct_labels, inherited_labels
from hoverfast_platform.training.data import Guides, TrainingData
from hoverfast_platform.training.run_folder import Validation
from hoverfast_platform.training.settings import TrainingSettings
from hoverfast_platform.version import __version__


def student_card(
    name: str,
    data: TrainingData,
    settings: TrainingSettings,
    guides: Guides,
) -> ModelCard:
    """The card of a student that is not measured yet."""
    parent, teacher = guides.parent, guides.teacher
    sources = [table.provenance for table in data.training]
    labels = distinct_labels(data.labels)
    inherited = inherited_labels(
        labels,
        [guide.card for guide in (parent, teacher) if guide is not None],
        (label for source in sources for label in source.inherited),
    )
    teachers = [digest for source in sources for digest in source.teacher_models]
    taught = f"{teacher.card.name} {teacher.digest}" if teacher else ""
    return ModelCard(
        name=name,
        version="",
        mpp=settings.student_mpp or data.validation.mpp,
        architecture=settings.architecture,
        appearance=settings.appearance,
        statistics_share=settings.statistics_share,
        description="Trained with `hoverfast train`.",
        licence=_joined(label.licence for label in (*labels, *inherited)) or "unknown",
        labels=labels,
        inherited=inherited,
        teacher_digests=tuple(dict.fromkeys([*teachers, *([teacher.digest] if teacher else [])])),
        teacher=_joined([*(f"{p.teacher} {p.teacher_digest}".strip() for p in sources), taught]),
        cohort=_joined(p.cohort for p in sources),
        training_set_digest=" ".join(table.digest for table in (*data.training, *data.unlabelled)),
        parent_digest=parent.digest if parent else "",
        code_version=__version__,
        training={
            "settings": settings.model_dump_json(exclude={"n_loaders"}),
            "n_training_patches": sum(len(table) for table in data.training),
            "n_unlabelled_patches": sum(len(table) for table in data.unlabelled),
            "n_training_nuclei": sum(int(table.n_nuclei.sum()) for table in data.training),
            "validation_digest": data.validation.digest,
        },
    )


def _joined(names: Iterable[str]) -> str:
    """Different names, once each, in their order."""
    return ", ".join(dict.fromkeys(name for name in names if name))


def measured_card(card: ModelCard, data: TrainingData, validation: Validation) -> ModelCard:
    """The card with the scores of a validation."""
    metrics = Metrics(
        dataset=data.validation.path.stem,
        n_images=len(data.validation),
        n_nuclei=int(data.validation.n_nuclei.sum()),
        dice=validation.dice,
        aji=validation.aji,
        pq=validation.pq,
    )
    training = {**card.training, "n_steps_done": validation.step}
    return card.model_copy(update={"metrics": (metrics,), "training": training})
