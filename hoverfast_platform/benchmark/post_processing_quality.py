"""Nuclei made of the same maps by our post-processing and the published one, against true ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from hoverfast_platform.arrays import InstanceMap, NetworkMaps
from hoverfast_platform.benchmark.published_hoverfast import published_post_processing
from hoverfast_platform.benchmark.spread import Spread
from hoverfast_platform.config import SegmentationSettings
from hoverfast_platform.errors import SettingsError
from hoverfast_platform.evaluation.labelled_set import LabelledSet
from hoverfast_platform.evaluation.metrics import score
from hoverfast_platform.geometry import Box, ModelLattice, Mpp
from hoverfast_platform.hv.decode import decodable_maps
from hoverfast_platform.inference.adapted_model import AdaptedModel
from hoverfast_platform.inference.backends.plain_network import PlainNetwork
from hoverfast_platform.inference.workers import RegionTask, post_process
from hoverfast_platform.model.checkpoint import LoadedModel
from hoverfast_platform.slide.samples import samples_of_image
from hoverfast_platform.tiling import Tile


@dataclass(frozen=True)
class PostProcessingQuality:
    """Panoptic quality per image.

    Attributes:
        dataset: Name of the labelled set.
        ours: Our quality, image by image.
        published: The published program's, image by image; empty without a checkout.
    """

    dataset: str
    ours: tuple[float, ...]
    published: tuple[float, ...]


def compare_quality(
    model: LoadedModel, dataset: LabelledSet, checkout: Path | None
) -> PostProcessingQuality:
    """Predict every image once and have both make nuclei of the maps.

    Args:
        model: Predicts, in single precision.
        dataset: Images at the model's scale.
        checkout: Checkout of the published HoverFast, whose outlines are left unsimplified here.

    Raises:
        SettingsError: If an image has another scale than the model.
    """
    card, mpp = model.card, model.card.mpp
    ours, published = [], []
    for labelled in dataset:
        if abs(labelled.item.mpp / mpp - 1) > 0.02:
            raise SettingsError(
                f"{labelled.item.name} has {labelled.item.mpp} um per pixel, the model {mpp}.",
                "Here images are not resampled: give a set at the model's scale.",
            )
        rgb, true = labelled.image, labelled.instance_map
        height, width = rgb.shape[:2]
        adapted = AdaptedModel.to(
            samples_of_image(rgb),
            PlainNetwork(model.network),
            card.appearance,
            card.statistics_share,
        )
        maps = adapted.predict([rgb])[0]
        box = Box.at_origin(width=width, height=height)
        lattice = ModelLattice(1, 1, width, height)
        task = RegionTask(Tile(0, box, box), lattice, Mpp(mpp, mpp), SegmentationSettings())
        found, instances = post_process(decodable_maps(maps), rgb, task)
        kept = np.where(np.isin(instances, found.labels), instances, 0)
        ours.append(score(true, kept, mpp=mpp).pq)
        if checkout is not None:
            published.append(score(true, _published_instances(checkout, maps, mpp), mpp=mpp).pq)
    return PostProcessingQuality(dataset.name, tuple(ours), tuple(published))


def quality_table(found: PostProcessingQuality) -> str:
    """Markdown: mean over images, and how far they lie apart."""
    lines = ["| panoptic quality, same maps | mean | median (least-largest) |", "|---|---|---|"]
    for name, values in (("ours", found.ours), ("published", found.published)):
        if values:
            lines.append(
                f"| {found.dataset}, {name} | {np.mean(values):.3f} | {Spread.of(values)} |"
            )
    return "\n".join(lines)


def _published_instances(checkout: Path, maps: NetworkMaps, mpp: float) -> InstanceMap:
    features: list[dict[str, Any]] = []
    run = published_post_processing(checkout, mpp, max(maps.shape), simplification=0, kept=features)
    run(maps)
    instances = np.zeros(maps.shape[1:], np.int32)
    for number, feature in enumerate(features, start=1):
        ring = np.array(feature["geometry"]["coordinates"][0], np.int32)
        cv2.fillPoly(instances, [ring], number)
    return instances
