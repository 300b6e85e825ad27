"""Labels that exist already: drawn by people, corrected in QuPath, or made by another tool.

For every image ``<stem>.*`` a folder holds ``<stem>.png``, ``.tif``, ``.tiff`` or ``.npy``, an
instance label image of the image's size, or ``<stem>.geojson``, ``.json`` (``.gz`` too),
QuPath's export with coordinates in level-0 pixels. StarDist, Cellpose and InstanSeg write
label images or GeoJSON that are read as they are.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from hoverfast_platform.arrays import InstanceMap
from hoverfast_platform.errors import LabelError
from hoverfast_platform.slide.digest import slide_digest
from hoverfast_platform.storage.flat_images import LABEL_SUFFIXES, read_instance_map
from hoverfast_platform.storage.limits import read_json
from hoverfast_platform.teachers.teacher import TeacherDescription, TileImage

_GEOJSON_SUFFIXES = (".geojson", ".json", ".geojson.gz", ".json.gz")
_SUFFIXES = (*sorted(LABEL_SUFFIXES), *_GEOJSON_SUFFIXES)
_SUBPIXEL_BITS = 4


class AnnotationsTeacher:
    """Reads labels from a folder.

    Args:
        folder: Of label images or GeoJSON files.
        mpp: Scale at which tiles are wanted; labels follow their image.
        made_by: Who made them: ``people``, ``StarDist 0.9``...
        licence: Of the labels.
    """

    def __init__(
        self, folder: Path, *, mpp: float = 0.25, made_by: str = "people", licence: str = ""
    ) -> None:
        self.folder = folder
        self.mpp = mpp
        self._made_by = made_by
        self._licence = licence
        self._last: tuple[Path, InstanceMap | list[Any]] | None = None

    def describe(self) -> TeacherDescription:
        """The digest covers every label file of the folder."""
        sha = hashlib.sha256()
        for path in sorted(self.folder.iterdir()):
            if path.name.endswith(_SUFFIXES):
                sha.update(f"{path.name} {slide_digest(path)}\n".encode())
        return TeacherDescription(name=self._made_by, digest=sha.hexdigest(), licence=self._licence)

    def label(self, tile: TileImage) -> InstanceMap:
        """The labels under a tile.

        Raises:
            LabelError: If there is no label for the image, it is unreadable, or of another
                size.
        """
        labels = self._read(find_label_file(self.folder, tile.path))
        if isinstance(labels, list):
            return paint(labels, tile)
        return _sample(labels, tile)

    def _read(self, path: Path) -> InstanceMap | list[Any]:
        """A file's labels; kept, since the tiles of a slide come one after another."""
        if self._last is None or self._last[0] != path:
            labels = (
                read_rings(path)
                if path.name.endswith(_GEOJSON_SUFFIXES)
                else read_instance_map(path)
            )
            self._last = (path, labels)
        return self._last[1]


def find_label_file(folder: Path, image: Path) -> Path:
    """The label file of an image.

    Raises:
        LabelError: If there is none, or more than one.
    """
    names = [image.stem + suffix for suffix in _SUFFIXES]
    found = [folder / name for name in names if (folder / name).is_file()]
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
            if path.name.endswith(suffix):
                found.add(path.name.removesuffix(suffix))
                break
    return frozenset(found)


def read_rings(path: Path) -> list[list[npt.NDArray[np.float64]]]:
    """Polygons of a GeoJSON file: per nucleus its rings, each ``(n, 2)`` level-0 pixels.

    Detections, cells (their nucleus where it is given) and annotations all count as nuclei;
    a multipolygon is several.

    Raises:
        LabelError: If it is no GeoJSON of polygons.
    """
    try:
        content = read_json(path)
        features = content["features"] if isinstance(content, dict) else content
        rings: list[list[npt.NDArray[np.float64]]] = []
        for feature in features:
            geometry = feature.get("nucleusGeometry") or feature["geometry"]
            coordinates = geometry["coordinates"]
            if geometry["type"] == "Polygon":
                coordinates = [coordinates]
            elif geometry["type"] != "MultiPolygon":
                raise LabelError(
                    f"{path} holds a {geometry['type']}; nuclei are polygons.",
                    "Delete points and lines in QuPath before exporting.",
                )
            rings += [[np.asarray(ring, dtype=np.float64) for ring in one] for one in coordinates]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise LabelError(
            f"{path} is not a readable GeoJSON file: {error!r}.",
            "Expected QuPath's export (File > Export objects as GeoJSON).",
        ) from error
    return rings


def paint(rings: list[Any], tile: TileImage) -> InstanceMap:
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


def _sample(labels: InstanceMap, tile: TileImage) -> InstanceMap:
    """Labels of a tile's pixels, each the label nearest to its centre."""
    height, width = tile.rgb.shape[:2]
    x = np.floor((tile.x0_px + np.arange(width) + 0.5) * tile.scale_x).astype(np.int64)
    y = np.floor((tile.y0_px + np.arange(height) + 0.5) * tile.scale_y).astype(np.int64)
    # The last pixel of a tile may be a fraction of one beyond the image.
    reach = np.array([x[-1] - labels.shape[1], y[-1] - labels.shape[0]])
    if (reach >= np.ceil([tile.scale_x, tile.scale_y])).any():
        raise LabelError(
            f"The label of {tile.path.name} is {labels.shape[1]}x{labels.shape[0]} px, smaller "
            "than the image.",
            "Labels must have the size of their image; this one belongs to another, or to "
            "another magnification.",
        )
    x, y = np.minimum(x, labels.shape[1] - 1), np.minimum(y, labels.shape[0] - 1)
    sampled: InstanceMap = labels[np.ix_(y, x)]
    return sampled
