"""A predictor that costs nothing: nuclei on a grid, whatever the pixels show.

Used where what is measured or tested is everything around prediction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from hoverfast_platform.catalogue import DEFAULT_SCOPE
from hoverfast_platform.config import Appearance
from hoverfast_platform.hv.decode import border_steepness
from hoverfast_platform.hv.encode import encode_hv_maps
from hoverfast_platform.inference.engine import SegmentationEngine
from hoverfast_platform.model.checkpoint import load_model
from hoverfast_platform.model.registry import DEFAULT_MODEL
from hoverfast_platform.resources.artefact_folder import ArtefactFolder
from hoverfast_platform.resources.leased_device import LeasedDevice

_SPACING_PX, _RADIUS_PX = 32, 9


class FakePredictor:
    """Discs every 32 px; with ``called`` it notes each batch, so that work can be counted."""

    backend, device, precision, arithmetic = "fake", "cpu", "fp16", "fake fp16"
    n_concurrent = 1

    def __init__(self, called: Path | None = None) -> None:
        self._called = called
        self._maps: dict[tuple[int, int], np.ndarray] = {}

    def adapted_to(self, samples: Sequence[np.ndarray], share: float) -> FakePredictor:
        return self  # whatever the slide looks like, it sees discs

    def predict(self, regions: np.ndarray) -> np.ndarray:
        if self._called is not None:
            with self._called.open("a") as file:
                file.write(f"{len(regions)}\n")
        height, width = regions.shape[1:3]
        if (height, width) not in self._maps:
            self._maps[height, width] = grid_of_nuclei(height, width)
        return np.repeat(self._maps[height, width][None], len(regions), axis=0)

    def batch_size(self, region_shape: tuple[int, int]) -> int:
        return 1


def grid_of_nuclei(height: int, width: int) -> np.ndarray:
    """Predicted maps of discs that do not touch."""
    y, x = np.mgrid[:height, :width]
    row, column = y // _SPACING_PX, x // _SPACING_PX
    half = _SPACING_PX / 2
    is_inside = (y % _SPACING_PX - half) ** 2 + (x % _SPACING_PX - half) ** 2 < _RADIUS_PX**2
    instances = np.where(is_inside, row * (width // _SPACING_PX + 1) + column + 1, 0)
    hv_maps = encode_hv_maps(instances.astype(np.int32)).astype(np.float32)
    return np.stack([is_inside, border_steepness(*hv_maps)]).astype(np.float16)


def fake_engine(predictor: FakePredictor) -> SegmentationEngine:
    """An engine that predicts with a fake; its model is shown slides as they were scanned.

    Adapting to a slide would cost what prediction does.
    """
    model = load_model(DEFAULT_MODEL)
    as_scanned = {"appearance": Appearance(), "statistics_share": 0.0}
    card = model.card.model_copy(update=as_scanned)
    return SegmentationEngine.fitting(replace(model, card=card), predictor)


class FakeDevice(LeasedDevice):
    """Stands in for the resource ``compute``: leased like a device, and predicts with a fake.

    With ``called`` each batch is noted in that file.
    """

    called: str = ""

    def engine(
        self,
        store: ArtefactFolder,
        scope: str = DEFAULT_SCOPE,
        mpp: float | None = None,
        model: str = "",
    ) -> SegmentationEngine:
        if self._engine is None:
            self._take_lease(store)
            self._engine = fake_engine(self.predictor())
        return self._engine

    def predictor(self) -> FakePredictor:
        return FakePredictor(Path(self.called) if self.called else None)
