"""What the engine made, as the catalogue's records of it."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

from hoverfast_platform.catalogue.descent_records import (
    LabelUse,
    ModelRecord,
    TrainingSetRecord,
)
from hoverfast_platform.catalogue.records import (
    FailureRecord,
    SegmentationRecord,
    TissueMaskRecord,
    slide_record,
)
from hoverfast_platform.errors import HoverFastError
from hoverfast_platform.inference.segment_slide import SegmentedSlide
from hoverfast_platform.mask.mask_file import MaskRecord
from hoverfast_platform.mask.tissue_mask import TissueMask
from hoverfast_platform.model.card import LabelSource
from hoverfast_platform.model.checkpoint import LoadedModel
from hoverfast_platform.slide.reader import SlideInfo
from hoverfast_platform.storage.patch_table import PatchTable
from hoverfast_platform.texts import clean


def segmentation_record(
    path: Path, info: SlideInfo, done: SegmentedSlide, model: LoadedModel, scope: str
) -> SegmentationRecord:
    """A result with everything it was made from, and the scope whose model was asked for it."""
    summary, provenance = done.summary, done.summary.provenance
    folder = done.summary_path.parent.absolute()
    return SegmentationRecord(
        slide=slide_record(path, info, provenance.slide.sha256),
        provenance=provenance,
        model=model_record(model),
        tissue_area_mm2=summary.tissue_area_mm2,
        run_id=summary.run_id,
        n_nuclei=summary.n_nuclei,
        seconds_per_mm2=summary.seconds_per_mm2,
        finished_at=datetime.datetime.fromisoformat(summary.finished_at),
        files={str(folder / name): sha256 for name, sha256 in summary.files.items()},
        scope=scope,
    )


def tissue_mask_record(path: Path, mask: TissueMask, said: MaskRecord) -> TissueMaskRecord:
    """A mask that was written to a file, as the catalogue keeps it."""
    return TissueMaskRecord(
        sha256=mask.digest(),
        engine=mask.engine,
        tissue_area_mm2=mask.tissue_area_mm2,
        path=str(path.absolute()),
        record=said.model_dump(mode="json"),
    )


@dataclass(frozen=True)
class Explained:
    """A failure in words for people.

    Attributes:
        kind: Kind of the error.
        message: What happened.
        remedy: What to do; may be empty.
    """

    kind: str
    message: str
    remedy: str


def explain(error: Exception) -> Explained:
    """Kind, message and remedy of an error; one that was not raised on purpose is a defect."""
    if isinstance(error, HoverFastError):
        return Explained(error.kind, error.message, error.remedy)
    message = clean(f"{type(error).__name__}: {error}")
    return Explained("defect", message, "Please report it with the log of the run.")


def failure_record(
    path: Path,
    error: Exception,
    run_id: str = "",
    *,
    slide_key: str | None = None,
    cohort: str | None = None,
    step: str = "",
) -> FailureRecord:
    """Why something failed, as :func:`explain` says.

    Args:
        path: The slide's file, or the cohort's plan.
        error: What was raised.
        run_id: Id of the run, for instance Dagster's.
        slide_key: Key of the slide, where it is registered.
        cohort: Name of the cohort, for a step of learning.
        step: What was being made.
    """
    why = explain(error)
    return FailureRecord(
        *(str(path.absolute()), why.kind, why.message, why.remedy, run_id),
        slide_key=slide_key,
        cohort=cohort,
        step=step,
    )


def model_record(model: LoadedModel) -> ModelRecord:
    """A loaded model as the catalogue keeps it, with what its card says it descends from."""
    card = model.card
    return ModelRecord(
        sha256=model.digest,
        name=card.name,
        version=card.version,
        path=str(model.path.absolute()),
        card=card.model_dump(mode="json"),
        labels=tuple(
            _label_use(label, is_inherited=label not in card.labels) for label in card.all_labels
        ),
        training_sets=tuple(dict.fromkeys(card.training_set_digest.split())),
        cohort=card.cohort,
        parents=tuple(dict.fromkeys(card.parent_digest.split())),
        teachers=card.teacher_digests,
    )


def training_set_record(table: PatchTable) -> TrainingSetRecord:
    """A training set as the catalogue keeps it."""
    said = table.provenance
    return TrainingSetRecord(
        digest=table.digest,
        name=table.path.stem,
        path=str(table.path.absolute()),
        teacher=said.teacher,
        cohort=said.cohort,
        labels=tuple(_label_use(label) for label in said.labels),
    )


def _label_use(label: LabelSource, *, is_inherited: bool = False) -> LabelUse:
    return LabelUse(
        *(label.name, label.licence, label.citation, label.n_images, label.n_nuclei),
        is_inherited=is_inherited,
    )
