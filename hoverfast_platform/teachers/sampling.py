"""Which tiles of which slides are labelled, and which side of the split a slide is on.

Both are drawn from digests, slide by slide: adding a slide to a cohort changes neither the
tiles nor the side of the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import Field

from hoverfast_platform.config import Settings
from hoverfast_platform.errors import TrainingError
from hoverfast_platform.files import text_sha256
from hoverfast_platform.geometry import Box, ModelLattice
from hoverfast_platform.mask.tissue_mask import TissueMask

_TRIES_PER_TILE = 200


class Sampling(Settings):
    """How tiles are chosen."""

    tiles_per_slide: int = Field(default=20, ge=1)
    """Random tiles of each slide (the paper took 15 and 20)."""

    tile_px: int = Field(default=1024, ge=64)
    """Side of the tiles at the teacher's mpp."""

    min_tissue_fraction: float = Field(default=0.5, gt=0, le=1)
    """Least share of a tile that is tissue."""

    validation_fraction: float = Field(default=0.2, ge=0, lt=1)
    """Share of the patients, or of the slides where patients are not known, to validate on.
    0 makes a set to learn from only, which is added to one that has both sides."""

    validation_groups: tuple[str, ...] = ()
    """Exactly these instead."""

    max_implausible_share: float = Field(default=1.0, ge=0, le=1)
    """Tiles with more of their nuclear area in outlines that no single nucleus has (merged,
    ragged) are left out, on both sides; see ``teachers.plausibility``. 1 keeps all, which is right
    for labels that people drew; of a student's labels 0.18 keeps two thirds."""

    seed: int = 0
    """Another seed draws other tiles and another split."""


@dataclass(frozen=True)
class Source:
    """A slide or a flat image of a cohort.

    Attributes:
        path: The file.
        group: Patient; the file's own name where not known.
        mpp_if_unknown: Micrometres per level-0 pixel, used only if the file does not say; flat
            images do not.
        mask_path: Tissue mask; without it tissue is detected. Flat images need none: they are
            labelled whole.
        weight: How often training draws from it.
    """

    path: Path
    group: str
    mpp_if_unknown: float | None = None
    mask_path: Path | None = None
    weight: float = 1.0


def draw_tiles(
    mask: TissueMask, lattice: ModelLattice, sampling: Sampling, digest: str
) -> tuple[Box, ...]:
    """Random tiles on tissue that do not overlap, in model pixels; fewer where there is less.

    Args:
        mask: Tissue mask of the slide.
        lattice: Lattice of the slide at the teacher's mpp.
        sampling: How many, how large.
        digest: Digest of the slide; with the seed it decides the draw.
    """
    side_y = min(sampling.tile_px, lattice.height_px)
    side_x = min(sampling.tile_px, lattice.width_px)
    rng = np.random.default_rng([sampling.seed, int(digest[:16], 16)])
    boxes: list[Box] = []
    for _ in range(_TRIES_PER_TILE * sampling.tiles_per_slide):
        y0 = int(rng.integers(0, lattice.height_px - side_y + 1))
        x0 = int(rng.integers(0, lattice.width_px - side_x + 1))
        box = Box.of(x=x0, y=y0, width=side_x, height=side_y)
        if _tissue_fraction(mask, lattice, box) < sampling.min_tissue_fraction:
            continue
        if all(box.clipped(other).is_empty for other in boxes):
            boxes.append(box)
        if len(boxes) == sampling.tiles_per_slide:
            break
    return tuple(boxes)


def _tissue_fraction(mask: TissueMask, lattice: ModelLattice, box: Box) -> float:
    to_mask_x, to_mask_y = lattice.scale_x / mask.scale_x, lattice.scale_y / mask.scale_y
    part = mask.is_tissue[
        int(box.y0 * to_mask_y) : max(int(box.y0 * to_mask_y) + 1, int(box.y1 * to_mask_y)),
        int(box.x0 * to_mask_x) : max(int(box.x0 * to_mask_x) + 1, int(box.x1 * to_mask_x)),
    ]
    return float(part.mean()) if part.size else 0.0


def validation_groups(groups: Sequence[str], sampling: Sampling) -> frozenset[str]:
    """The groups to validate on; the others are learned from. None if none are asked for.

    Raises:
        TrainingError: If one side would be empty, or a group asked for does not exist.
    """
    known = sorted(set(groups), key=lambda group: _draw(group, sampling.seed))
    if sampling.validation_groups:
        chosen = frozenset(sampling.validation_groups)
        missing = chosen - set(known)
        if missing:
            raise TrainingError(
                f"No slide belongs to the validation groups {sorted(missing)}.",
                f"Known groups: {', '.join(sorted(known)[:10])}.",
            )
    elif sampling.validation_fraction == 0:
        return frozenset()
    else:
        chosen = frozenset(
            g for g in known if _draw(g, sampling.seed) < sampling.validation_fraction
        ) or frozenset(known[:1])
        if len(chosen) == len(known):
            chosen -= {known[-1]}
    if not chosen or len(chosen) == len(known):
        raise TrainingError(
            f"{len(known)} patients or slides cannot be split into training and validation.",
            "At least two are needed; give more slides, or name their patients.",
        )
    return chosen


def _draw(group: str, seed: int) -> float:
    """A number in 0..1 that depends on the group and the seed alone."""
    return int(text_sha256(f"{seed} {group}")[:13], 16) / 16**13
