"""Training examples in an order that depends on the seed alone, ready for a DataLoader.

Here a crop is cut, turned and scaled, which is cheap on a CPU; ``variation`` changes its colours
and ``targets`` makes its targets, a batch at a time, on the device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np
import psutil
import torch
from torch import Tensor
from torch.utils.data import Dataset

from hoverfast_platform.arrays import InstanceMap, RgbImage
from hoverfast_platform.errors import TrainingError
from hoverfast_platform.stain import normalisation_of
from hoverfast_platform.storage.patch_table import Patch, PatchTable, split_into_pieces
from hoverfast_platform.training.settings import TrainingSettings
from hoverfast_platform.training.targets import MAX_INSTANCES

_KEPT_SHARE = 0.25
"""Share of the free memory in which all loaders together keep prepared patches."""
_MOST_KEPT_BYTES = 2**30
"""The most that one loader keeps: a container's limit may be far below what is free."""
MARGIN_PX = 16
"""Around a crop; cut off once targets are made, so that nuclei at the crop's edge keep their
true centre."""


class Crop(NamedTuple):
    """A training example with its margin, or a batch of them with ``N`` in front.

    ``image`` ``(3, S, S)`` uint8 and ``instance_map`` ``(S, S)`` int16 with ``S = crop_px + 32``;
    ``is_labelled`` a bool: false where only a teacher knows what is there.
    """

    image: Tensor
    instance_map: Tensor
    is_labelled: Tensor


class Crops(Dataset[Crop]):
    """Crop number ``i`` is always the same, so training resumes where it stopped.

    Patches are drawn in proportion to their area times their weight.

    Args:
        tables: Labelled patches.
        settings: How crops are cut.
        unlabelled: Patches whose labels are not used.

    Raises:
        TrainingError: If there is nothing to learn from, or scales differ.
    """

    def __init__(
        self,
        tables: Sequence[PatchTable],
        settings: TrainingSettings,
        unlabelled: Sequence[PatchTable] = (),
    ) -> None:
        self._tables = [*tables, *unlabelled]
        self._n_labelled_tables = len(tables)
        self._settings = settings
        self._prepared: dict[int, Patch] = {}
        self._room_bytes = _room_bytes(settings.n_loaders)
        if sum(int(table.n_nuclei.sum()) for table in tables) == 0:
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
        self._reduction = reduction_to(settings.student_mpp, scales.pop())
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
        patch = self._prepared.get(at) or self._prepare(at, table)
        image, instance_map = cut_crop(patch, self._settings, rng)
        if instance_map.max() >= MAX_INSTANCES // 2:
            raise TrainingError(
                f"A crop of {patch.source} holds {instance_map.max()} nuclei, more than the "
                f"{MAX_INSTANCES // 2 - 1} that training can tell apart.",
                "Its labels may be specks, or crop_px too large.",
            )
        return Crop(
            torch.from_numpy(np.ascontiguousarray(np.moveaxis(image, 2, 0))),
            torch.from_numpy(instance_map.astype(np.int16)),
            torch.tensor(table < self._n_labelled_tables),
        )

    def _prepare(self, at: int, table: int) -> Patch:
        """A patch unpacked, normalised and reduced, kept for the next crop while there is room.

        This costs several times what cutting a crop from it does.
        """
        patch = self._tables[table].read(at - int(self._starts[table]))
        stain = normalisation_of([patch.image], self._settings.appearance)
        patch = reduced(replace(patch, image=stain.apply(patch.image)), self._reduction)
        n_bytes = patch.image.nbytes + patch.instance_map.nbytes
        if n_bytes <= self._room_bytes:
            self._room_bytes -= n_bytes
            self._prepared[at] = patch
        return patch


def _room_bytes(n_loaders: int) -> int:
    """How much memory one loader may keep patches in: all loaders a quarter of what is free."""
    free_bytes = int(psutil.virtual_memory().available * _KEPT_SHARE) // max(1, n_loaders)
    return min(free_bytes, _MOST_KEPT_BYTES)


def reduction_to(mpp: float | None, patch_mpp: float) -> float:
    """By which whole factor a patch is reduced to an mpp; 1 where no other mpp is asked for.

    Raises:
        TrainingError: If the patches are coarser than what is asked for.
    """
    if mpp is None:
        return 1.0
    if mpp < patch_mpp:
        raise TrainingError(
            f"Training at {mpp} um per pixel was asked for, and the patches have {patch_mpp}.",
            "Patches can be reduced, not enlarged: make them anew at a finer scale.",
        )
    return mpp / patch_mpp


def reduced(patch: Patch, reduction: float) -> Patch:
    """The patch, smaller by a whole factor.

    A pixel gets the mean colour of those that it stands for, and the nucleus of the middle one.
    """
    if reduction == 1.0:
        return patch
    height, width = (max(1, round(side / reduction)) for side in patch.instance_map.shape)
    labels = cv2.resize(
        patch.instance_map.astype(np.uint16), (width, height), interpolation=cv2.INTER_NEAREST_EXACT
    )
    return replace(
        patch,
        image=cv2.resize(patch.image, (width, height), interpolation=cv2.INTER_AREA),
        instance_map=split_into_pieces(labels),
    )


def cut_crop(
    patch: Patch, settings: TrainingSettings, rng: np.random.Generator
) -> tuple[RgbImage, InstanceMap]:
    """Rotation, mirroring and scaling about a random centre, in one interpolation.

    Returns:
        Image ``(S, S, 3)`` and instance map ``(S, S)`` with ``S = crop_px + 2 * MARGIN_PX``.
    """
    side = settings.crop_px + 2 * MARGIN_PX
    height, width = patch.instance_map.shape
    centre = rng.uniform((0, 0), (width, height))
    n_nuclei = int(patch.instance_map.max(initial=0))
    if n_nuclei and rng.random() < settings.nucleus_centred_share:
        y, x = np.nonzero(patch.instance_map == rng.integers(1, n_nuclei + 1))
        offset = rng.uniform(-side / 3, side / 3, 2)
        centre = np.array([x.mean(), y.mean()]) + offset
    reach = math.log(settings.augmentation.max_scaling)
    scale = math.exp(rng.uniform(-reach, reach))
    # Crops of a small patch stay inside it as far as they can: mirrored borders teach less.
    room = np.minimum(np.array([width, height]) / 2, side / scale / 2)
    centre = np.clip(centre, room, np.array([width, height]) - room)
    angle = rng.choice(4) * 90.0 + (rng.uniform(-45, 45) if rng.random() < 0.5 else 0.0)
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    # From crop to patch, as warpAffine with WARP_INVERSE_MAP wants it.
    linear = np.array([[cos * mirror, -sin], [sin * mirror, cos]]) / scale
    shift = centre - linear @ np.array([(side - 1) / 2, (side - 1) / 2])
    matrix = np.column_stack([linear, shift])
    image = cv2.warpAffine(
        patch.image,
        matrix,
        (side, side),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    labels = cv2.warpAffine(
        patch.instance_map.astype(np.uint16),
        matrix,
        (side, side),
        flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    return image, split_into_pieces(labels)
