"""What exists and what it was made from, in SQL: slides, masks, model versions, segmentations."""

from hoverfast_platform.catalogue.catalogue import Catalogue
from hoverfast_platform.catalogue.records import (
    DEFAULT_SCOPE,
    AppearanceRecord,
    CohortMemberRecord,
    CohortRecord,
    EvaluationRecord,
    FailureRecord,
    KnownSlide,
    Lineage,
    LineageEntry,
    ModelRecord,
    ModelStanding,
    ModelUse,
    SegmentationRecord,
    SlideRecord,
    TissueMaskRecord,
)

__all__ = [
    "DEFAULT_SCOPE",
    "AppearanceRecord",
    "Catalogue",
    "CohortMemberRecord",
    "CohortRecord",
    "EvaluationRecord",
    "FailureRecord",
    "KnownSlide",
    "Lineage",
    "LineageEntry",
    "ModelRecord",
    "ModelStanding",
    "ModelUse",
    "SegmentationRecord",
    "SlideRecord",
    "TissueMaskRecord",
]
