"""Labels that exist already: drawn by people, corrected in QuPath, or made by another tool.

For every image ``<stem>.*`` a folder holds ``<stem>.png``, ``.tif``, ``.tiff`` or ``.npy``, an
instance label image of the image's size, or ``<stem>.geojson``, ``.json`` (``.gz`` too),
QuPath's export with coordinates in level-0 pixels. StarDist, Cellpose and InstanSeg write
label images or GeoJSON that are read as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
import shapely

from hoverfast_platform.arrays import InstanceMap
from hoverfast_platform.errors import LabelError, StorageError
from hoverfast_platform.files import Sha256
from hoverfast_platform.slide.digest import slide_digest
from hoverfast_platform.storage.flat_images import LABEL_SUFFIXES, read_instance_map
from hoverfast_platform.storage.foreign_outlines import read_outlines
from hoverfast_platform.teachers.teacher import TeacherDescription, TileImage

_GEOJSON_SUFFIXES = (".geojson", ".json", ".geojson.gz", ".json.gz")
_SUFFIXES = (*sorted(LABEL_SUFFIXES), *_GEOJSON_SUFFIXES)
_SUBPIXEL_BITS = 4

Rings: TypeAlias = list[npt.NDArray[np.float64]]
"""The rings of one nucleus, the outer ring first, then its holes."""


class AnnotationsTeacher:
    """Reads labels from a folder.

    Args:
        folder: Folder of label images or GeoJSON files.
        mpp: Scale at which tiles are wanted; labels follow their image.
        made_by: Who made them: ``people``, ``StarDist 0.9``...
        licence: Licence of the labels.
    """

    def __init__(
        self, folder: Path, *, mpp: float = 0.25, made_by: str = "people", licence: str = ""
    ) -> None:
        self.folder = folder
        self.mpp = mpp
        self._made_by = made_by
        self._licence = licence
        self._last: tuple[Path, InstanceMap | list[Rings]] | None = None
        self._notes: list[str] = []

    def describe(self) -> TeacherDescription:
        """The digest covers every label file of the folder."""
        sha = Sha256()
        for path in sorted(self.folder.iterdir()):
            if path.name.lower().endswith(_SUFFIXES):
                sha.add(f"{path.name} {slide_digest(path)}\n")
        return TeacherDescription(name=self._made_by, digest=sha.hex(), licence=self._licence)

    def label(self, tile: TileImage) -> InstanceMap:
        """The labels under a tile.

        Raises:
            LabelError: If there is no label for the image, it is unreadable, or of another
                size.
        """
        labels = self._read(find_label_file(self.folder, tile.path), tile)
        if isinstance(labels, list):
            return paint(labels, tile)
        return _sample(labels, tile)

    def notes(self) -> tuple[str, ...]:
        """What of the label files read so far was left out."""
        return tuple(self._notes)

    def _read(self, path: Path, tile: TileImage) -> InstanceMap | list[Rings]:
        """A file's labels; kept, since the tiles of a slide come one after another."""
        if self._last is None or self._last[0] != path:
            labels: InstanceMap | list[Rings]
            if path.name.lower().endswith(_GEOJSON_SUFFIXES):
                level0_mpp = tile.mpp / np.sqrt(tile.scale_x * tile.scale_y)
                labels, notes = read_nuclei(path, mpp=level0_mpp, image_size=tile.source_size)
                self._notes += notes
            else:
                labels = read_instance_map(path)
                _check_size(labels, tile)
            self._last = (path, labels)
        return self._last[1]


def find_label_file(folder: Path, image: Path) -> Path:
    """The label file of an image.

    Raises:
        LabelError: If there is none, or more than one.
    """
    names = [image.stem + suffix for suffix in _SUFFIXES]
    found = [folder / name for name in names if (folder / name).is_file()]
    if not found and folder.is_dir():  # suffixes in capitals
        stem = f"{image.stem}."
        suffixes = [path for path in folder.iterdir() if path.name.startswith(stem)]
        found = [p for p in suffixes if image.stem + p.name[len(stem) - 1 :].lower() in names]
    if len(found) != 1:
        raise LabelError(
            f"{image.name} has {len(found)} label files in {folder}; expected one of "
            f"{', '.join(names)}.",
            "Labels are found by the image's name; leave images without labels out.",
        )
    return found[0]


def label_stems(folder: Path) -> frozenset[str]:
    """Stems of the images that have labels in a folder.

    Raises:
        LabelError: If there is no such folder.
    """
    if not folder.is_dir():
        raise LabelError(f"There is no folder of labels: {folder}.")
    found = set()
    for path in folder.iterdir():
        for suffix in sorted(_SUFFIXES, key=len, reverse=True):
            if path.name.lower().endswith(suffix) and not path.name.startswith("."):
                found.add(path.name[: -len(suffix)])
                break
    return frozenset(found)


def read_nuclei(
    path: Path, *, mpp: float, image_size: tuple[int, int] | None
) -> tuple[list[Rings], tuple[str, ...]]:
    """Nuclei of a GeoJSON file: the rings of each, ``(n, 2)`` level-0 pixels.

    Detections, cells (their nucleus where it is given) and annotations count as nuclei, a
    multipolygon as several; annotations around nuclei, tiles, points and lines do not.

    Args:
        path: The file.
        mpp: Micrometres per level-0 pixel.
        image_size: (width, height) of the image in level-0 pixels, where it is known.

    Returns:
        The nuclei, and what was left out, for people.

    Raises:
        LabelError: If it is not GeoJSON of nuclei, or not of this image.
    """
    try:
        found = read_outlines(path).without_regions(mpp**2)
        found.refuse_if_none()
    except StorageError as error:
        raise LabelError(error.message, error.remedy) from error
    if misfit := found.misfit(mpp, image_size):
        raise LabelError(
            f"{path}: {misfit}.",
            "Labels are level-0 pixels of their image; look at the image's mpp, too.",
        )
    if image_size is not None:
        found = found.without_outside(image_size)
    return [rings_of(polygon) for polygon in found.polygons], found.notes()


def rings_of(polygon: Any) -> Rings:
    """The outer ring of a polygon, or of the largest part of one, then its holes."""
    parts = shapely.get_parts(polygon)
    largest = parts[int(np.argmax(shapely.area(parts)))]
    return [np.asarray(ring.coords) for ring in (largest.exterior, *largest.interiors)]


def paint(rings: Sequence[Rings], tile: TileImage) -> InstanceMap:
    """Polygons drawn onto a tile; where two overlap the later one wins."""
    height, width = tile.rgb.shape[:2]
    instances = np.zeros((height, width), dtype=np.int32)
    scale, origin = np.array([tile.scale_x, tile.scale_y]), np.array([tile.x0_px, tile.y0_px])
    number = 0
    for nucleus in rings:
        # Vertices are corners of pixels, fillPoly's are their centres.
        points = [ring / scale - origin - 0.5 for ring in nucleus]
        low, high = points[0].min(axis=0), points[0].max(axis=0)
        if (high < 0).any() or low[0] > width or low[1] > height:
            continue
        number += 1
        fixed = [np.round(ring * 2**_SUBPIXEL_BITS).astype(np.int32) for ring in points]
        cv2.fillPoly(instances, fixed, number, shift=_SUBPIXEL_BITS)
    return instances


def _check_size(labels: InstanceMap, tile: TileImage) -> None:
    height, width = labels.shape
    if tile.source_size not in (None, (width, height)):
        raise _of_another_size(labels, tile)


def _of_another_size(labels: InstanceMap, tile: TileImage) -> LabelError:
    size = "another size" if tile.source_size is None else "{}x{} px".format(*tile.source_size)
    return LabelError(
        f"The label of {tile.path.name} is {labels.shape[1]}x{labels.shape[0]} px, its image "
        f"has {size}.",
        "Labels must have the size of their image; this one belongs to another, or to "
        "another magnification.",
    )


def _sample(labels: InstanceMap, tile: TileImage) -> InstanceMap:
    """Labels of a tile's pixels, each the label nearest to its centre."""
    height, width = tile.rgb.shape[:2]
    x = np.floor((tile.x0_px + np.arange(width) + 0.5) * tile.scale_x).astype(np.int64)
    y = np.floor((tile.y0_px + np.arange(height) + 0.5) * tile.scale_y).astype(np.int64)
    # The last pixel of a tile may be a fraction of one beyond the image.
    reach = np.array([x[-1] - labels.shape[1], y[-1] - labels.shape[0]])
    if (reach >= np.ceil([tile.scale_x, tile.scale_y])).any():
        raise _of_another_size(labels, tile)
    x, y = np.minimum(x, labels.shape[1] - 1), np.minimum(y, labels.shape[0] - 1)
    sampled: InstanceMap = labels[np.ix_(y, x)]
    return sampled
