"""Training examples in an order that depends on the seed alone, ready for a DataLoader."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from hoverfast_platform.errors import TrainingError
from hoverfast_platform.hv.encode import encode_hv_maps
from hoverfast_platform.slide.stain_normalisation import normalisation_of
from hoverfast_platform.storage.patch_table import PatchTable
from hoverfast_platform.training.augment import random_crop, without_margin
from hoverfast_platform.training.settings import TrainingSettings


class Crop(NamedTuple):
    """A training example, or a batch of them with ``N`` in front.

    ``image`` ``(3, S, S)`` uint8; ``foreground`` ``(S, S)`` int64, 1 is nucleus; ``hv_maps``
    ``(2, S, S)`` float32.
    """

    image: Tensor
    foreground: Tensor
    hv_maps: Tensor


class Crops(Dataset[Crop]):
    """Crop number ``i`` is always the same, so training resumes where it stopped.

    Patches are drawn in proportion to their area times their weight.

    Raises:
        TrainingError: If there is nothing to learn from, or scales differ.
    """

    def __init__(self, tables: Sequence[PatchTable], settings: TrainingSettings) -> None:
        self._tables = list(tables)
        self._settings = settings
        if sum(int(table.n_nuclei.sum()) for table in self._tables) == 0:
            raise TrainingError(
                "The training set has no nuclei at all.",
                "Its labels are empty: the teacher found nothing, or labels of other images "
                "were given.",
            )
        scales = {table.mpp for table in self._tables}
        if len(scales) > 1:
            raise TrainingError(
                f"Training sets of different mpp cannot be mixed: {sorted(scales)}.",
                "Bring them to one mpp when making them.",
            )
        share = np.concatenate(
            [table.weights * np.prod(table.sizes_px, axis=1) for table in self._tables]
        )
        self._cumulative = np.cumsum(share / share.sum())
        self._starts = np.cumsum([0, *(len(table) for table in self._tables)])

    def __len__(self) -> int:
        return self._settings.n_steps * self._settings.batch_size

    def __getitem__(self, i: int) -> Crop:
        rng = np.random.default_rng([self._settings.seed, i])
        at = min(int(np.searchsorted(self._cumulative, rng.random())), len(self._cumulative) - 1)
        table = int(np.searchsorted(self._starts, at, side="right")) - 1
        patch = self._tables[table].read(at - int(self._starts[table]))
        stain = normalisation_of([patch.image], self._settings.stain_target)
        patch = replace(patch, image=stain.apply(patch.image))
        image, instance_map = random_crop(patch, self._settings, rng)
        hv_maps = without_margin(encode_hv_maps(instance_map))
        foreground = without_margin(instance_map > 0)
        pixels = without_margin(np.moveaxis(image, 2, 0))
        return Crop(
            torch.from_numpy(np.ascontiguousarray(pixels)),
            torch.from_numpy(foreground.astype(np.int64)),
            torch.from_numpy(np.ascontiguousarray(hv_maps)),
        )
