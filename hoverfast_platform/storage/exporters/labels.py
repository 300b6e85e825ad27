"""Label images: every pixel holds the number of its nucleus, 0 is background."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tifffile
import zarr

from hoverfast_platform.files import scratch_folder
from hoverfast_platform.storage.exporters.exporter import Exporter, Need, NucleiSource
from hoverfast_platform.storage.label_pyramid import LABELS, write_label_pyramid

_TILE_PX = 1024


def write_zarr(source: NucleiSource, path: Path, _per_piece: int) -> None:
    """The pyramid of a source's labels; the folder appears whole or not at all."""
    width, height = source.frame_px
    write_label_pyramid(
        path,
        source.blocks(),
        width=width,
        height=height,
        mpp=source.scale,
        provenance=source.provenance,
    )


def label_tiles(
    source: NucleiSource, scratch: Path
) -> Iterator[tuple[int, int, npt.NDArray[np.int32]]]:
    """The label image of a slide, tile by tile: first row, first column, labels.

    Args:
        source: The nuclei.
        scratch: Folder in which the whole image is kept meanwhile, compressed.
    """
    width, height = source.frame_px
    with scratch_folder(scratch) as folder:
        pyramid = folder / "labels.zarr"
        write_zarr(source, pyramid, 0)
        labels = zarr.open_group(pyramid / LABELS, mode="r")["0"]
        for y in range(0, height, _TILE_PX):
            for x in range(0, width, _TILE_PX):
                yield y, x, np.asarray(labels[y : y + _TILE_PX, x : x + _TILE_PX])  # type: ignore[index]


def _write_tiff(source: NucleiSource, path: Path, _per_piece: int) -> None:
    width, height = source.frame_px

    def tiles() -> Iterator[npt.NDArray[np.int32]]:
        for _, _, part in label_tiles(source, path.parent):
            tile = np.zeros((_TILE_PX, _TILE_PX), np.int32)
            tile[: part.shape[0], : part.shape[1]] = part
            yield tile

    tifffile.imwrite(
        path,
        tiles(),
        shape=(height, width),
        dtype=np.int32,
        tile=(_TILE_PX, _TILE_PX),
        compression="zlib",
        bigtiff=width * height > 2**29,
        metadata=None,
    )


EXPORTER = Exporter(
    name="ome-zarr",
    extensions=(".zarr",),
    what="a pyramid of labels, OME-Zarr 0.5",
    opens_in="napari, ome-zarr-py, SpatialData",
    write=write_zarr,
    needs=(Need.SCALE, Need.SLIDE_SIZE),
    renames_itself=True,
)

TIFF_EXPORTER = Exporter(
    name="label-tiff",
    extensions=("_cp_masks.tif", ".labels.tif"),
    what="one label image, 32-bit TIFF in level-0 pixels",
    opens_in="Cellpose, Space Ranger, Xenium Ranger, ImageJ, scikit-image",
    write=_write_tiff,
    needs=(Need.SCALE, Need.SLIDE_SIZE),
)
