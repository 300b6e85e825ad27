"""Nuclei as an OME-Zarr label pyramid (version 0.5), written tile by tile.

``<name>.zarr/labels/nuclei`` is an instance map in level-0 pixels: 0 is background, ``i + 1`` the
nucleus of row ``i`` of the table. Drawn from the polygons: a pixel belongs to a nucleus if its
centre lies inside; of two nuclei that cover it, the one of the earlier row has it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import zarr
from zarr.codecs import BloscCodec

from hoverfast_platform.arrays import InstanceMap
from hoverfast_platform.errors import StorageError
from hoverfast_platform.files import folder_written_atomically
from hoverfast_platform.geometry import Mpp
from hoverfast_platform.nuclei.filled_rings import fill_rings
from hoverfast_platform.nuclei.nucleus import Nuclei
from hoverfast_platform.provenance import Provenance
from hoverfast_platform.storage.nuclei_table import iter_nuclei_table, read_table_metadata

CHUNK_PX = 1024
LABELS = "labels/nuclei"
_OPEN_CHUNKS = 16
"""Chunks of the largest level that are kept in memory, 4 MiB each, until others are drawn on."""
_SMALLEST_PX = 1024
"""The pyramid ends with the first level that fits this square."""


def label_pyramid_of_table(table_path: Path, path: Path) -> int:
    """Write the pyramid of a published table, unless it is there; returns the nuclei in it.

    Raises:
        StorageError: If the table cannot be read, is not a slide's, or the pyramid cannot be
            written.
    """
    provenance = Provenance.found_in(read_table_metadata(table_path), table_path.name)
    if provenance is None:
        raise StorageError(
            f"{table_path} does not say how large its slide is, which a label image needs.",
            "Use the .parquet of a slide's result.",
        )
    if _segmentation_id(path) == provenance.segmentation_id:
        n_rows: int = pq.read_metadata(table_path).num_rows
        return n_rows
    return write_label_pyramid(
        path,
        iter_nuclei_table(table_path),
        width=provenance.slide.width_px,
        height=provenance.slide.height_px,
        mpp=provenance.slide.mpp,
        provenance=provenance.model_dump(mode="json"),
    )


def _segmentation_id(path: Path) -> str | None:
    """Read the segmentation id of a pyramid on disk; None if it is missing or has none."""
    try:
        attributes = zarr.open_group(path, mode="r").attrs.asdict()
    except (OSError, ValueError):
        return None
    record = attributes.get("hoverfast")
    return str(record.get("segmentation_id")) if isinstance(record, dict) else None


def write_label_pyramid(
    path: Path,
    blocks: Iterable[Nuclei],
    *,
    width: int,
    height: int,
    mpp: Mpp,
    provenance: Mapping[str, Any],
) -> int:
    """Write the pyramid under a temporary name and rename it; an older one is replaced.

    Args:
        path: The ``.zarr`` folder.
        blocks: Nuclei in the order of the table; RAM holds one block and one tile's pixels.
        width: Width of the slide's frame, level-0 pixels.
        height: Height of the slide's frame, level-0 pixels.
        mpp: Micrometres per level-0 pixel.
        provenance: Kept in the root's attributes under ``hoverfast``.

    Returns:
        The number of nuclei drawn.

    Raises:
        StorageError: If it cannot be written.
    """
    with folder_written_atomically(path) as part:
        n = _write(part, blocks, (height, width), mpp)
        zarr.open_group(part, mode="r+").attrs["hoverfast"] = dict(provenance)
    return n


def _write(part: Path, blocks: Iterable[Nuclei], shape: tuple[int, int], mpp: Mpp) -> int:
    root = zarr.open_group(part, mode="w", zarr_format=3)
    root.create_group("labels").attrs["ome"] = {"version": "0.5", "labels": ["nuclei"]}
    group = root["labels"].create_group("nuclei")  # type: ignore[union-attr]
    n_levels = 1
    while max(shape) / 2 ** (n_levels - 1) > _SMALLEST_PX:
        n_levels += 1
    group.attrs["ome"] = _metadata(n_levels, mpp)
    level = _create(group, 0, shape)
    canvas = _Canvas(level)
    n = 0
    for nuclei in blocks:
        canvas.draw(nuclei, n)
        n += len(nuclei)
    canvas.close()
    for index in range(1, n_levels):
        smaller = _create(group, index, ((level.shape[0] + 1) // 2, (level.shape[1] + 1) // 2))
        for y in range(0, smaller.shape[0], CHUNK_PX):
            for x in range(0, smaller.shape[1], CHUNK_PX):
                # One of four pixels: a mean of labels would be another nucleus.
                source = level[2 * y : 2 * (y + CHUNK_PX), 2 * x : 2 * (x + CHUNK_PX)]
                if source.any():
                    smaller[y : y + CHUNK_PX, x : x + CHUNK_PX] = source[::2, ::2]
        level = smaller
    return n


def _create(group: Any, index: int, shape: tuple[int, int]) -> Any:
    return group.create_array(
        str(index),
        shape=shape,
        chunks=(min(CHUNK_PX, shape[0]), min(CHUNK_PX, shape[1])),
        dtype="int32",
        compressors=BloscCodec(cname="zstd", clevel=3),
        fill_value=0,  # chunks without nuclei are not written
        dimension_names=["y", "x"],
    )


class _Canvas:
    """The largest level while it is drawn: the chunks that were drawn on last are kept open.

    Tiles are not chunks. A tile touches several, and its neighbour some of them again; each is
    compressed when it has not been drawn on for long, not once per tile.
    """

    def __init__(self, level: Any) -> None:
        self._level = level
        self._open: OrderedDict[tuple[int, int], InstanceMap] = OrderedDict()

    def draw(self, nuclei: Nuclei, n_before: int) -> None:
        """Add a block of nuclei, the first of which has the number ``n_before + 1``."""
        if not len(nuclei):
            return
        height, width = self._level.shape
        lows, highs = nuclei.boxes_xy()
        last = np.array([width - 1, height - 1]) // CHUNK_PX
        from_chunk = np.clip(lows // CHUNK_PX, 0, last).astype(np.int64)
        to_chunk = np.clip(highs // CHUNK_PX, 0, last).astype(np.int64)
        for y in range(from_chunk[:, 1].min(), to_chunk[:, 1].max() + 1):
            in_row = np.flatnonzero((from_chunk[:, 1] <= y) & (y <= to_chunk[:, 1]))
            if not len(in_row):
                continue
            firsts, lasts = from_chunk[in_row, 0], to_chunk[in_row, 0]
            for x in range(firsts.min(), lasts.max() + 1):
                rows = in_row[(firsts <= x) & (x <= lasts)]
                if len(rows):
                    self._draw_on(y, x, nuclei.take(rows), n_before + rows + 1)

    def close(self) -> None:
        """Write what is still open."""
        while self._open:
            self._write_oldest()

    def _draw_on(self, y: int, x: int, nuclei: Nuclei, numbers: npt.NDArray[np.int64]) -> None:
        corner = np.array([x, y]) * CHUNK_PX
        fill_rings(
            self._chunk(y, x),
            nuclei.vertices_xy - corner,
            nuclei.ring_starts,
            numbers.astype(np.int32),
        )

    def _chunk(self, y: int, x: int) -> InstanceMap:
        if (y, x) not in self._open:
            if len(self._open) == _OPEN_CHUNKS:
                self._write_oldest()
            self._open[y, x] = np.ascontiguousarray(self._level[_window(y, x)])
        self._open.move_to_end((y, x))
        return self._open[y, x]

    def _write_oldest(self) -> None:
        (y, x), pixels = self._open.popitem(last=False)
        self._level[_window(y, x)] = pixels


def _window(y: int, x: int) -> tuple[slice, slice]:
    """The pixels of a chunk; at the slide's border the array ends them."""
    return (
        slice(y * CHUNK_PX, (y + 1) * CHUNK_PX),
        slice(x * CHUNK_PX, (x + 1) * CHUNK_PX),
    )


def _metadata(n_levels: int, mpp: Mpp) -> dict[str, Any]:
    datasets = []
    for index in range(n_levels):
        scale = [mpp.y * 2**index, mpp.x * 2**index]
        datasets.append(
            {
                "path": str(index),
                "coordinateTransformations": [{"type": "scale", "scale": scale}],
            }
        )
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in ("y", "x")]
    return {
        "version": "0.5",
        "multiscales": [{"name": "nuclei", "axes": axes, "datasets": datasets}],
        "image-label": {"colors": [{"label-value": 0, "rgba": [0, 0, 0, 0]}]},
    }
