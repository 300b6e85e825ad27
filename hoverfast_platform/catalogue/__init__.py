"""What exists and what it was made from, in SQL: slides, masks, model versions, segmentations."""

from hoverfast_platform.catalogue.catalogue import Catalogue
from hoverfast_platform.catalogue.descent_records import (
    Ancestor,
    LabelUse,
    ModelRecord,
    TrainingSetRecord,
)
from hoverfast_platform.catalogue.records import (
    DEFAULT_SCOPE,
    AppearanceRecord,
    CohortMemberRecord,
    CohortRecord,
    CurrentResult,
    EvaluationRecord,
    FailureRecord,
    KnownSlide,
    Lineage,
    LineageEntry,
    ModelStanding,
    ModelUse,
    SegmentationRecord,
    SlideRecord,
    TissueMaskRecord,
)

__all__ = [
    "DEFAULT_SCOPE",
    "Ancestor",
    "AppearanceRecord",
    "Catalogue",
    "CohortMemberRecord",
    "CohortRecord",
    "CurrentResult",
    "EvaluationRecord",
    "FailureRecord",
    "KnownSlide",
    "LabelUse",
    "Lineage",
    "LineageEntry",
    "ModelRecord",
    "ModelStanding",
    "ModelUse",
    "SegmentationRecord",
    "SlideRecord",
    "TissueMaskRecord",
    "TrainingSetRecord",
]
