"""Whether a mask of another program fits what the slide shows: an inverted one is noticed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from hoverfast_platform.arrays import RgbImage, TissuePixels
from hoverfast_platform.config import MaskImport
from hoverfast_platform.errors import MaskError
from hoverfast_platform.mask.imported import load_mask
from hoverfast_platform.mask.mask_file import read_record
from hoverfast_platform.mask.tissue_mask import TissueMask
from hoverfast_platform.slide.reader import SlideReader
from hoverfast_platform.slide.thumbnail import read_thumbnail

_SIDE_PX = 768
_GLASS_LEVEL = 180
_GLASS_CHROMA = 24
_MIN_DENSITY = 0.04
"""Decadic optical density above the glass from which a pixel of a thumbnail is stained."""
_PADDING_LEVEL = 40
"""Darker pixels are neither tissue nor glass, but what a scanner left black."""
_MIN_SHARE = 0.01
"""Smallest share of the slide that is judged; on less nothing is said."""


@dataclass(frozen=True)
class StainedShares:
    """How much is stained, of what a mask calls tissue and of what it leaves out; 0..1.

    Either is None where there is too little of it to judge.
    """

    inside: float | None
    outside: float | None

    @property
    def is_inverted(self) -> bool:
        """Whether the mask holds glass and leaves tissue out."""
        if self.inside is None or self.outside is None:
            return False
        return self.outside > 0.3 and self.inside < 0.3 and self.inside < self.outside / 2

    def remarks(self) -> tuple[str, ...]:
        """What a person should know before trusting the mask."""
        if self.inside is None:
            return ()
        if self.outside is None:
            if self.inside < 0.9:
                return (
                    "the mask calls all of the slide tissue, and "
                    f"{1 - self.inside:.0%} of it is glass",
                )
            return ()
        if self.inside < self.outside + 0.05 and self.inside < 0.95:
            return (
                f"the mask does not follow the tissue: {self.inside:.0%} of what it calls tissue "
                f"is stained, and {self.outside:.0%} of what it leaves out",
            )
        if self.inside < 0.2:
            return (f"only {self.inside:.0%} of what the mask calls tissue is stained",)
        return ()


def load_mask_held(
    path: Path, reader: SlideReader, how: MaskImport = MaskImport(), *, slide_sha256: str = ""
) -> TissueMask:
    """A mask file of ours, or one of another program after it was held against the slide.

    Raises:
        MaskError: As :func:`~hoverfast_platform.mask.imported.load_mask` does, and if what it
            calls tissue is glass and what it leaves out is tissue.
    """
    mask = load_mask(path, reader.info, how, slide_sha256=slide_sha256)
    if read_record(path) is not None:
        return mask
    return hold_against_slide(mask, reader, how, name=path.name)


def hold_against_slide(
    mask: TissueMask, reader: SlideReader, how: MaskImport = MaskImport(), *, name: str
) -> TissueMask:
    """The mask, with a warning for what looks odd.

    Raises:
        MaskError: If it is inverted, and ``how`` does not say that it is right.
    """
    shares = stained_shares(mask, read_thumbnail(reader, _SIDE_PX))
    remarks = shares.remarks()
    if shares.is_inverted:
        if not how.is_right:
            raise MaskError(
                f"{name} looks inverted: {shares.inside:.0%} of what it calls tissue is stained, "
                f"and {shares.outside:.0%} of what it leaves out (on {reader.info.name}).",
                "Invert it, or say with tissue_levels which levels are tissue; if it is right as "
                "it is, set is_right in the settings of masks.",
            )
        remarks = (*remarks, "the mask looks inverted, and was taken as it is by setting")
    return replace(mask, warnings=(*mask.warnings, *remarks))


def stained_shares(mask: TissueMask, thumbnail: RgbImage) -> StainedShares:
    """How much of a thumbnail of the slide is stained, inside the mask and outside."""
    height, width = thumbnail.shape[:2]
    resized = cv2.resize(
        mask.is_tissue.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST
    )
    inside = np.asarray(resized) > 0
    is_scanned = thumbnail.max(axis=2) >= _PADDING_LEVEL
    stained = _stained(thumbnail)
    return StainedShares(
        _share(stained, inside & is_scanned), _share(stained, ~inside & is_scanned)
    )


def _share(stained: TissuePixels, where: TissuePixels) -> float | None:
    return float(stained[where].mean()) if where.mean() > _MIN_SHARE else None


def _stained(rgb: RgbImage) -> TissuePixels:
    darkest = rgb.min(axis=2)
    bright = (darkest >= _GLASS_LEVEL) & (rgb.max(axis=2) - darkest <= _GLASS_CHROMA)
    glass = np.full(3, 245.0)
    if bright.mean() > 0.02:
        glass = np.array(
            [np.bincount(rgb[..., c][bright], minlength=256).argmax() for c in range(3)]
        )
    density = np.log10(glass) - np.log10(np.maximum(rgb.astype(np.float32), 1))
    stained: TissuePixels = density.mean(axis=2) > _MIN_DENSITY
    return stained
