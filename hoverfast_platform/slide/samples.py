"""Squares of a slide's tissue that show what its stain is like, before any of it is segmented.

Which squares depends on slide and mask alone, so a result can be made again, and not on how wide
a margin of glass the mask has: a network that is adapted to glass takes keratin and fibres for
nuclei (docs/lab-notes/models.md has the figures).
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from hoverfast_platform.arrays import RgbImage
from hoverfast_platform.config import Tiling
from hoverfast_platform.geometry import Box, ModelLattice
from hoverfast_platform.slide.array_reader import ArrayReader
from hoverfast_platform.slide.reader import SlideReader
from hoverfast_platform.slide.resample import read_region_at
from hoverfast_platform.slide.thumbnail import read_thumbnail
from hoverfast_platform.stain import tissue_proper
from hoverfast_platform.tiling import HasTissue, plan_tiles

SAMPLE_PX = 256
MAX_SAMPLES = 32
"""So many squares, evenly spread over the tissue, tell the stain: 2 mega pixels."""
WHOLE_PX = 8 * SAMPLE_PX**2
"""Half a mega pixel: an image of tissue that is not larger is one sample, without cuts where a
network would see an edge."""
_THUMBNAIL_PX = 2048
"""Side of the picture in which squares are judged: in a slide of 100,000 px a square has five."""
_FULL_ENOUGH = 0.5
"""Share of tissue from which a square counts, of what the fullest square has: cells strewn over
glass or fat have no fuller ones."""


def read_samples(
    reader: SlideReader, lattice: ModelLattice, has_tissue: HasTissue
) -> list[RgbImage]:
    """At most :data:`MAX_SAMPLES` squares at the model's scale, in reading order.

    Sides are at most :data:`SAMPLE_PX` and nearly equal, but for an image of at most
    :data:`WHOLE_PX` that is all tissue, which is one sample; none where there is no tissue.
    Squares that are mostly glass are left out where others are fuller.

    Raises:
        UnreadableSlideError: If the file is damaged there.
    """
    squares = plan_tiles(lattice, Tiling(tile_size_px=SAMPLE_PX), has_tissue).tiles
    boxes = [square.box.clipped(lattice.box) for square in squares]
    n_px = lattice.width_px * lattice.height_px
    if n_px <= WHOLE_PX and n_px == sum(box.width * box.height for box in boxes):
        boxes = [lattice.box]
    if len(boxes) > 1:
        shares = _tissue_shares(reader, lattice, boxes)
        boxes = [boxes[i] for i in np.flatnonzero(shares >= _FULL_ENOUGH * shares.max())]
    chosen = np.linspace(0, len(boxes) - 1, min(len(boxes), MAX_SAMPLES)).round().astype(int)
    return [read_region_at(reader, lattice, boxes[i]) for i in chosen]


def _tissue_shares(
    reader: SlideReader, lattice: ModelLattice, boxes: list[Box]
) -> npt.NDArray[np.float64]:
    """How much of each box is tissue and not glass, 0..1, ``(N,)``."""
    thumbnail = read_thumbnail(reader, _THUMBNAIL_PX)
    n_tissue = cv2.integral(tissue_proper(thumbnail).view(np.uint8))
    height, width = thumbnail.shape[:2]
    edges = np.array([(box.x0, box.y0, box.x1, box.y1) for box in boxes], dtype=np.float64)
    edges *= np.tile((width / lattice.width_px, height / lattice.height_px), 2)
    x0, y0 = np.floor(edges[:, :2]).astype(np.int64).T
    x1, y1 = np.maximum(np.round(edges[:, 2:]).astype(np.int64).T, [x0 + 1, y0 + 1])
    inside = n_tissue[y1, x1] - n_tissue[y0, x1] - n_tissue[y1, x0] + n_tissue[y0, x0]
    return np.asarray(inside / ((x1 - x0) * (y1 - y0)), dtype=np.float64)


def samples_of_image(rgb: RgbImage) -> list[RgbImage]:
    """The same of an image at the model's scale that is all tissue."""
    reader = ArrayReader(rgb, mpp=1.0)  # whatever its scale, it is the model's
    info = reader.info
    lattice = ModelLattice.of(
        width=info.width, height=info.height, slide_mpp=info.mpp, model_mpp=1.0
    )
    return read_samples(reader, lattice, lambda *_box: True)
