"""Our own students as a teacher: several models and eight views of each image, averaged.

An average of views is steadier than any of its members, so a student can learn from it on
unlabelled tissue (self-distillation; Radosavovic et al., CVPR 2018, "data distillation").
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hoverfast_platform.arrays import InstanceMap, RgbImage
from hoverfast_platform.config import Compute, InstanceDecoding
from hoverfast_platform.errors import SettingsError
from hoverfast_platform.files import text_sha256
from hoverfast_platform.hv.decode import split_foreground, without_small_nuclei
from hoverfast_platform.inference.adapted_model import AdaptedModel
from hoverfast_platform.inference.backends.choice import make_predictor
from hoverfast_platform.model.card import inherited_labels
from hoverfast_platform.model.checkpoint import LoadedModel
from hoverfast_platform.slide.samples import samples_of_image
from hoverfast_platform.teachers.teacher import TeacherDescription, TileImage

Maps = npt.NDArray[np.float32]
"""``(2, H, W)``: foreground probability, steepness of borders. Neither knows a direction."""

View = tuple[bool, bool, bool]
"""Whether to swap x and y, then mirror x, then mirror y."""


class StudentsTeacher:
    """Averaged maps of students, decoded as in inference.

    Args:
        models: At least one; all at one mpp.
        compute: Where they run.
        n_views: 8 for all turns and mirror images, 1 for the image as it is.

    Raises:
        SettingsError: If the models differ in mpp, or ``n_views`` is neither.
    """

    def __init__(
        self,
        models: Sequence[LoadedModel],
        compute: Compute = Compute(),
        n_views: int = 8,
        decoding: InstanceDecoding = InstanceDecoding(),
    ) -> None:
        scales = {model.card.mpp for model in models}
        if len(scales) != 1 or n_views not in {1, 8}:
            raise SettingsError(
                "Students of one mpp, and 1 or 8 views are needed, got "
                f"{sorted(scales)} um/px and {n_views} views."
            )
        self.mpp = scales.pop()
        self._models = tuple(models)
        self._multiple_px = math.lcm(*(m.card.architecture.multiple_px for m in models))
        self._predictors = [make_predictor(model, compute) for model in models]
        self._views: list[View] = [(bool(i & 4), bool(i & 2), bool(i & 1)) for i in range(n_views)]
        self._decoding = decoding

    def describe(self) -> TeacherDescription:
        digests = [model.digest for model in self._models]
        return TeacherDescription(
            name=f"students {' + '.join(m.card.name for m in self._models)}, "
            f"{len(self._views)} views, foreground above "
            f"{self._decoding.foreground_threshold:g}",
            digest=digests[0] if len(digests) == 1 else text_sha256(" ".join(digests)),
            licence=" and ".join(sorted({m.card.licence for m in self._models})),
            model_digests=tuple(digests),
            learned_from=inherited_labels((), [m.card for m in self._models]),
        )

    def label(self, tile: TileImage) -> InstanceMap:
        """Nuclei of the tile."""
        maps = self.predict_maps(tile.rgb)
        instances = split_foreground(maps[0], maps[1], self._decoding)
        return without_small_nuclei(instances, tile.mpp, self._decoding)

    def predict_maps(self, rgb: RgbImage) -> Maps:
        """The average over models and views, ``(2, H, W)``."""
        height, width = rgb.shape[:2]
        total = np.zeros((2, height, width), dtype=np.float64)
        samples = samples_of_image(rgb)
        predictors = [
            AdaptedModel.to(samples, predictor, model.card.appearance, model.card.statistics_share)
            for model, predictor in zip(self._models, self._predictors, strict=True)
        ]
        for view in self._views:
            seen = np.ascontiguousarray(turn_image(rgb, view))
            down, right = (-side % self._multiple_px for side in seen.shape[:2])
            padded = np.pad(seen, ((0, down), (0, right), (0, 0)), mode="edge")
            for predictor in predictors:
                maps = predictor.predict([padded])[0, :, : seen.shape[0], : seen.shape[1]]
                total += turn_maps_back(maps.astype(np.float32), view)
        return (total / (len(self._views) * len(self._predictors))).astype(np.float32)


def turn_image(rgb: RgbImage, view: View) -> RgbImage:
    """One of the eight views of an image."""
    swap, mirror_x, mirror_y = view
    seen = rgb.transpose(1, 0, 2) if swap else rgb
    seen = seen[:, ::-1] if mirror_x else seen
    return seen[::-1] if mirror_y else seen


def turn_maps_back(maps: Maps, view: View) -> Maps:
    """Maps of a view as maps of the image."""
    swap, mirror_x, mirror_y = view
    maps = maps[:, ::-1] if mirror_y else maps
    maps = maps[..., ::-1] if mirror_x else maps
    return maps.transpose(0, 2, 1) if swap else maps
