"""A model as one slide needs it: shown its stain in the strength it knows, and adapted to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hoverfast_platform.arrays import PredictedMaps, RgbImage
from hoverfast_platform.config import Stain
from hoverfast_platform.inference.backends.predictor import Predictor
from hoverfast_platform.model.card import ModelCard
from hoverfast_platform.model.checkpoint import LoadedModel
from hoverfast_platform.model.slide_statistics import adapted_to
from hoverfast_platform.stain import StainNormalisation, normalisation_of, nuclear_stain_image


@dataclass(frozen=True)
class SlidePredictor:
    """Predicts maps of one slide's regions.

    Attributes:
        predictor: With statistics for this slide, where the model asks for it.
        stain: IHC is shown as if it were H&E.
        normalisation: Of H&E; stain densities of IHC are measured and not brought to a norm.
    """

    predictor: Predictor
    stain: Stain
    normalisation: StainNormalisation

    def shown(self, rgb: RgbImage) -> RgbImage:
        """A region as the network is to see it."""
        if self.stain == "ihc_dab":
            return nuclear_stain_image(rgb)
        return self.normalisation.apply(rgb)

    def predict(self, regions: Sequence[RgbImage]) -> PredictedMaps:
        """Maps of regions of one shape, ``(N, 2, H, W)``.

        Raises:
            ComputeError: If the device fails or a single region does not fit its memory.
        """
        return self.predictor.predict(np.stack([self.shown(region) for region in regions]))


def looks_at_samples(card: ModelCard, stain: Stain) -> bool:
    """Whether a model wants to know what a slide looks like beforehand; IHC is not adapted to."""
    return stain == "he" and (not card.appearance.is_as_scanned or card.statistics_share > 0)


def slide_predictor(
    model: LoadedModel, predictor: Predictor, samples: Sequence[RgbImage], stain: Stain
) -> SlidePredictor:
    """A predictor for the slide that the samples are of.

    Args:
        model: Whose card says what is wanted.
        predictor: Of that model; not changed.
        samples: Squares of tissue; empty for a slide without any.
        stain: Of the slide.
    """
    if not looks_at_samples(model.card, stain):
        return SlidePredictor(predictor, stain, StainNormalisation())
    card = model.card
    normalisation = normalisation_of(samples, card.appearance)
    if card.statistics_share > 0 and samples:
        shown = [normalisation.apply(sample) for sample in samples]
        device = predictor.device.partition(",")[0]
        network = adapted_to(model.network, shown, card.statistics_share, device)
        predictor = predictor.with_network(network)
    return SlidePredictor(predictor, stain, normalisation)
