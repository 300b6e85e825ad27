"""Squares of a slide's tissue that show what its stain is like, before any of it is segmented.

Which squares depends on slide and mask alone, so a result can be made again.
"""

from __future__ import annotations

import numpy as np

from hoverfast_platform.arrays import RgbImage
from hoverfast_platform.config import Tiling
from hoverfast_platform.geometry import ModelLattice
from hoverfast_platform.slide.array_reader import ArrayReader
from hoverfast_platform.slide.reader import SlideReader
from hoverfast_platform.slide.resample import read_region_at
from hoverfast_platform.tiling import HasTissue, plan_tiles

SAMPLE_PX = 256
MAX_SAMPLES = 32
"""So many squares, evenly spread over the tissue, tell the stain: 2 mega pixels."""
WHOLE_PX = 8 * SAMPLE_PX**2
"""Half a mega pixel: an image of tissue that is not larger is one sample, without cuts where a
network would see an edge."""


def read_samples(
    reader: SlideReader, lattice: ModelLattice, has_tissue: HasTissue
) -> list[RgbImage]:
    """At most :data:`MAX_SAMPLES` squares at the model's scale, in reading order.

    Sides are at most :data:`SAMPLE_PX` and nearly equal, but for an image of at most
    :data:`WHOLE_PX` that is all tissue, which is one sample; none where there is no tissue.

    Raises:
        UnreadableSlideError: If the file is damaged there.
    """
    squares = plan_tiles(lattice, Tiling(tile_size_px=SAMPLE_PX), has_tissue).tiles
    boxes = [square.box.clipped(lattice.box) for square in squares]
    n_px = lattice.width_px * lattice.height_px
    if n_px <= WHOLE_PX and n_px == sum(box.width * box.height for box in boxes):
        boxes = [lattice.box]
    chosen = np.linspace(0, len(boxes) - 1, min(len(boxes), MAX_SAMPLES)).round().astype(int)
    return [read_region_at(reader, lattice, boxes[i]) for i in chosen]


def samples_of_image(rgb: RgbImage) -> list[RgbImage]:
    """The same of an image at the model's scale that is all tissue."""
    reader = ArrayReader(rgb, mpp=1.0)  # whatever its scale, it is the model's
    info = reader.info
    lattice = ModelLattice.of(
        width=info.width, height=info.height, slide_mpp=info.mpp, model_mpp=1.0
    )
    return read_samples(reader, lattice, lambda *_box: True)
