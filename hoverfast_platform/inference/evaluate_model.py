"""A model on a labelled set: predict every image, score it, hand it to whoever draws."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TypeAlias

from hoverfast_platform.arrays import InstanceMap
from hoverfast_platform.config import SegmentationSettings
from hoverfast_platform.evaluation.labelled_set import LabelledImage, LabelledSet
from hoverfast_platform.evaluation.metrics import DETECTION_RADIUS_UM, MATCH_IOU, score
from hoverfast_platform.evaluation.results import Evaluation, ImageScores, MeasuredModel
from hoverfast_platform.files import text_sha256
from hoverfast_platform.inference.engine import SegmentationEngine
from hoverfast_platform.inference.segment_image import segment_image
from hoverfast_platform.progress import OnProgress, Progress, ignore_progress
from hoverfast_platform.version import RESULT_VERSION, __version__

OnScored: TypeAlias = Callable[[int, LabelledImage, InstanceMap], None]
"""Called with the number of the image, the image and the nuclei predicted in it."""


def evaluate_model(
    engine: SegmentationEngine,
    dataset: LabelledSet,
    *,
    reference: str = "",
    settings: SegmentationSettings = SegmentationSettings(),
    on_scored: OnScored | None = None,
    on_progress: OnProgress = ignore_progress,
) -> Evaluation:
    """Measure a model on a labelled set, through the same path as any other image.

    Args:
        engine: The model on its device.
        dataset: What to measure against.
        reference: What made its labels, for people; without it what the set says.
        settings: Settings of the segmentation; part of what makes two evaluations comparable.
        on_scored: Told of every image, for pictures.
        on_progress: Told after every image.

    Raises:
        UnsupportedScaleError: If images are too coarse for the model.
    """
    images = []
    for i, labelled in enumerate(dataset):
        found = segment_image(
            labelled.image, mpp=labelled.item.mpp, engine=engine, settings=settings
        )
        scores = score(labelled.instance_map, found.instance_map, mpp=labelled.item.mpp)
        images.append(ImageScores(labelled.item, scores))
        if on_scored is not None:
            on_scored(i, labelled, found.instance_map)
        on_progress(Progress("evaluating", i + 1, len(dataset), "images"))
    measured_with = {
        "segmentation": settings.model_dump(mode="json", exclude={"tissue"}),
        "detection_radius_um": DETECTION_RADIUS_UM,
        "match_iou": MATCH_IOU,
        "result_version": RESULT_VERSION,
    }
    card = engine.model.card
    return Evaluation(
        model=MeasuredModel(
            name=card.name,
            version=card.version,
            sha256=engine.model.digest,
            arithmetic=engine.arithmetic,
        ),
        dataset=dataset.name,
        dataset_digest=dataset.digest,
        dataset_provenance=dataset.provenance,
        reference=reference or dataset.labels_by,
        settings=measured_with,
        settings_digest=text_sha256(json.dumps(measured_with, sort_keys=True)),
        code_version=__version__,
        images=tuple(images),
    )
