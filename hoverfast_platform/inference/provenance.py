"""What a segmentation is made from, as a record; its digest is the segmentation's identity."""

from __future__ import annotations

import hashlib
import json

from hoverfast_platform.config import SegmentationSettings
from hoverfast_platform.inference.engine import SegmentationEngine
from hoverfast_platform.mask.tissue_mask import TissueMask
from hoverfast_platform.model.slide_statistics import statistics_precision
from hoverfast_platform.slide.reader import SlideInfo
from hoverfast_platform.storage.summary import Provenance
from hoverfast_platform.version import RESULT_VERSION, __version__


def provenance_of(
    slide_sha256: str,
    info: SlideInfo,
    tissue: TissueMask,
    engine: SegmentationEngine,
    settings: SegmentationSettings,
) -> Provenance:
    """The record of a slide, its mask, the model and the settings."""
    mask_sha256 = tissue.digest()
    model, predictor = engine.model, engine.predictor
    decided_by = {
        "slide": slide_sha256,
        "mask": mask_sha256,
        "model": model.digest,
        "model_mpp": model.card.mpp,
        "appearance": model.card.appearance.model_dump(mode="json"),
        "statistics": model.card.statistics_share
        and [model.card.statistics_share, statistics_precision(predictor.device)],
        "settings": settings.digest(),
        "arithmetic": predictor.arithmetic,
        "version": RESULT_VERSION,
    }
    canonical = json.dumps(decided_by, sort_keys=True).encode()
    card = model.card
    return Provenance(
        segmentation_id=hashlib.sha256(canonical).hexdigest()[:32],
        slide_sha256=slide_sha256,
        slide_mpp_x=info.mpp.x,
        slide_mpp_y=info.mpp.y,
        slide_mpp_source=info.mpp_source,
        frame=info.frame,
        origin_px=info.origin_px,
        width_px=info.width,
        height_px=info.height,
        mask_engine=tissue.engine,
        mask_sha256=mask_sha256,
        model_name=card.name,
        model_version=card.version,
        model_sha256=model.digest,
        model_mpp=card.mpp,
        model_statistics_share=card.statistics_share,
        model_labels=tuple(f"{source.name} ({source.licence})" for source in card.labels),
        teacher=card.teacher,
        cohort=card.cohort,
        training_set_digest=card.training_set_digest,
        settings=settings.model_dump(mode="json"),
        code_version=__version__,
    )
