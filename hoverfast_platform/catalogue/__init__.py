"""What exists and what it was made from, in SQL: slides, masks, model versions, segmentations."""

from hoverfast_platform.catalogue.catalogue import Catalogue
from hoverfast_platform.catalogue.records import (
    FailureRecord,
    Lineage,
    SegmentationRecord,
    SlideRecord,
)

__all__ = ["Catalogue", "FailureRecord", "Lineage", "SegmentationRecord", "SlideRecord"]
