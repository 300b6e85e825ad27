"""Nuclei as an OME-Zarr label pyramid (version 0.5), written tile by tile.

``<name>.zarr/labels/nuclei`` is an instance map in level-0 pixels: 0 is background, ``i + 1`` the
nucleus of row ``i`` of the table. Drawn from the polygons: a pixel belongs to a nucleus if its
centre lies inside.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import zarr
from skimage.draw import polygon
from zarr.codecs import BloscCodec

from hoverfast_platform.errors import StorageError
from hoverfast_platform.files import folder_written_atomically
from hoverfast_platform.geometry import Mpp
from hoverfast_platform.nuclei.nucleus import Nuclei
from hoverfast_platform.provenance import Provenance
from hoverfast_platform.storage.nuclei_table import iter_nuclei_table, read_table_metadata

CHUNK_PX = 1024
LABELS = "labels/nuclei"
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
    n = 0
    for nuclei in blocks:
        for tile in np.unique(nuclei.tile_index):
            _draw(level, nuclei, np.flatnonzero(nuclei.tile_index == tile), n)
        n += len(nuclei)
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


def _draw(level: Any, nuclei: Nuclei, rows: npt.NDArray[np.int64], n_before: int) -> None:
    """Add the nuclei of one tile to the array: read what they cover, draw, write back."""
    rings = [nuclei.ring(int(row)) for row in rows]
    low = np.floor(np.min([ring.min(axis=0) for ring in rings], axis=0)).astype(int)
    high = np.ceil(np.max([ring.max(axis=0) for ring in rings], axis=0)).astype(int)
    window = (
        slice(low[1], min(high[1], level.shape[0])),
        slice(low[0], min(high[0], level.shape[1])),
    )
    pixels = level[window]
    for row, ring in zip(rows, rings, strict=True):
        # Vertices are corners of pixels, `polygon` counts from their centres.
        x, y = (ring - low - 0.5).T
        pixels[polygon(y, x, pixels.shape)] = n_before + int(row) + 1
    level[window] = pixels


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
