"""What the engine made, as the catalogue's records of it."""

from __future__ import annotations

from pathlib import Path

from hoverfast_platform.catalogue.records import (
    FailureRecord,
    ModelRecord,
    SegmentationRecord,
    TissueMaskRecord,
    slide_record,
)
from hoverfast_platform.errors import HoverFastError
from hoverfast_platform.inference.segment_slide import SegmentedSlide
from hoverfast_platform.mask.mask_file import MaskRecord
from hoverfast_platform.mask.tissue_mask import TissueMask
from hoverfast_platform.model.card import ModelCard
from hoverfast_platform.model.checkpoint import LoadedModel
from hoverfast_platform.slide.reader import SlideInfo
from hoverfast_platform.texts import clean


def segmentation_record(
    path: Path, info: SlideInfo, done: SegmentedSlide, card: ModelCard
) -> SegmentationRecord:
    """A result with everything it was made from."""
    summary, provenance = done.summary, done.summary.provenance
    folder = done.summary_path.parent.absolute()
    return SegmentationRecord(
        slide=slide_record(path, info, provenance.slide.sha256),
        provenance=provenance,
        model_card=card.model_dump(mode="json"),
        tissue_area_mm2=summary.tissue_area_mm2,
        run_id=summary.run_id,
        n_nuclei=summary.n_nuclei,
        seconds_per_mm2=summary.seconds_per_mm2,
        files={str(folder / name): sha256 for name, sha256 in summary.files.items()},
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


def failure_record(path: Path, error: Exception, run_id: str = "") -> FailureRecord:
    """Why a slide failed; an error that was not raised on purpose is a defect."""
    where = str(path.absolute())
    if isinstance(error, HoverFastError):
        return FailureRecord(where, error.kind, error.message, error.remedy, run_id)
    text = clean(f"{type(error).__name__}: {error}")
    return FailureRecord(where, "defect", text, "Please report it with the log of the run.", run_id)


def model_record(model: LoadedModel) -> ModelRecord:
    """A loaded model as the catalogue keeps it."""
    return ModelRecord(
        sha256=model.digest,
        name=model.card.name,
        version=model.card.version,
        path=str(model.path.absolute()),
        card=model.card.model_dump(mode="json"),
    )
