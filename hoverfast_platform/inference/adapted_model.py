"""A model as one slide or image needs it: shown its stain in the strength it knows, and adapted.

Whoever shows a network an image comes through here: slides and flat images, students that label,
validation in training, and the benchmark of post-processing. So a network is judged on what it
will be shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from hoverfast_platform.arrays import RgbImage
from hoverfast_platform.config import Appearance, Stain
from hoverfast_platform.errors import CheckpointError
from hoverfast_platform.inference.backends.predictor import Regions
from hoverfast_platform.model.card import ModelCard
from hoverfast_platform.stain import StainNormalisation, normalisation_of, nuclear_stain_image

_INFINITY_BITS = 0x7C00
"""Infinity in half precision, without its sign; what is not a number is above it."""

_Maps_co = TypeVar("_Maps_co", bound=npt.NDArray[np.floating[Any]], covariant=True)


class Adaptable(Protocol[_Maps_co]):
    """What can be adapted to samples and then predicts: any backend, or a network in training."""

    def adapted_to(self, samples: Sequence[RgbImage], share: float) -> Adaptable[_Maps_co]:
        """One like this with the samples' batch-norm statistics mixed in."""
        ...

    def predict(self, regions: Regions) -> _Maps_co:
        """Maps of ``(N, H, W, 3)``."""
        ...


@dataclass(frozen=True)
class AdaptedModel(Generic[_Maps_co]):
    """Predicts maps of the regions of one slide or image.

    Attributes:
        predictor: With statistics for this slide, where the model asks for it.
        stain: IHC is shown as if it were H&E.
        normalisation: Of H&E; stain densities of IHC are measured and not brought to a norm.
    """

    predictor: Adaptable[_Maps_co]
    stain: Stain
    normalisation: StainNormalisation

    @classmethod
    def to(
        cls,
        samples: Sequence[RgbImage],
        predictor: Adaptable[_Maps_co],
        appearance: Appearance,
        statistics_share: float,
        stain: Stain = "he",
    ) -> AdaptedModel[_Maps_co]:
        """Adapt a predictor to the slide or image that samples are of.

        Args:
            samples: Squares of tissue, ``(H, W, 3)``; empty for a slide without any.
            predictor: Not changed.
            appearance: What its network learned from.
            statistics_share: Share of the samples' statistics in the mixture, 0..1.
            stain: Stain of the slide.
        """
        if stain != "he":
            return cls(predictor, stain, StainNormalisation())
        normalisation = normalisation_of(samples, appearance)
        if statistics_share > 0 and samples:
            shown = [normalisation.apply(sample) for sample in samples]
            predictor = predictor.adapted_to(shown, statistics_share)
        return cls(predictor, stain, normalisation)

    def shown(self, rgb: RgbImage) -> RgbImage:
        """A region as the network is to see it."""
        if self.stain == "ihc_dab":
            return nuclear_stain_image(rgb)
        return self.normalisation.apply(rgb)

    def predict(self, regions: Sequence[RgbImage]) -> _Maps_co:
        """Maps of regions of one shape, ``(N, planes, H, W)``.

        Raises:
            ComputeError: If the device fails or a single region does not fit its memory.
            CheckpointError: If the maps hold values that are not finite.
        """
        maps = self.predictor.predict(np.stack([self.shown(region) for region in regions]))
        if not _is_finite(maps):  # they would count as no nucleus
            raise CheckpointError(
                "The model predicts values that are not finite, so its nuclei would be wrong.",
                "Its weights are damaged or too large for its precision: use another checkpoint, "
                "or --precision fp32 where a copy of it was right elsewhere.",
            )
        return maps


def _is_finite(maps: npt.NDArray[np.floating[Any]]) -> bool:
    if maps.dtype == np.float16 and maps.size:  # by their bits, in a tenth of numpy's time
        largest = maps.view(np.int16).max()  # of the positive ones
        lowest = maps.view(np.uint16).max()  # of the negative ones, which grow downwards
        return int(largest) < _INFINITY_BITS and int(lowest) < _INFINITY_BITS | 0x8000
    return bool(np.isfinite(maps).all())


def looks_at_samples(card: ModelCard, stain: Stain) -> bool:
    """Whether a model wants to know what a slide looks like beforehand; IHC is not adapted to."""
    return stain == "he" and (not card.appearance.is_as_scanned or card.statistics_share > 0)
