"""Label arrays as the CoNIC challenge has them: instances and classes, in NumPy's format."""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter
from pathlib import Path

import numpy as np

from hoverfast_platform.storage.exporters.exporter import Exporter, Need, NucleiSource
from hoverfast_platform.storage.exporters.labels import label_tiles

_NUCLEUS = 1


def _write(source: NucleiSource, path: Path, _per_piece: int) -> None:
    width, height = source.frame_px
    # `open_memmap` makes the file before anything is in it: background is 0 without being written.
    np.lib.format.open_memmap(path, "w+", np.dtype("<i4"), (1, height, width, 2))
    for first_row, tiles in groupby(label_tiles(source, path.parent), key=itemgetter(0)):
        # Mapped anew for each row of tiles, so that pages that were written leave this process.
        array = np.lib.format.open_memmap(path, "r+")
        for _, x, labels in tiles:
            rows, columns = labels.shape
            array[0, first_row : first_row + rows, x : x + columns, 0] = labels
            array[0, first_row : first_row + rows, x : x + columns, 1] = np.where(
                labels > 0, _NUCLEUS, 0
            )
        array.flush()


EXPORTER = Exporter(
    name="conic",
    extensions=(".conic.npy",),
    what="an array (1, height, width, 2) of number and class (1: nucleus), 8 bytes a pixel",
    opens_in="NumPy, CoNIC's scripts",
    write=_write,
    needs=(Need.SCALE, Need.SLIDE_SIZE),
)
