"""Outlines in GeoJSON that others wrote: which of its objects are nuclei, and which are not.

The one reader for labels, corrections and imports. What is not a nucleus is left out and
counted, never dropped without a word and never taken for one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from hoverfast_platform.errors import StorageError
from hoverfast_platform.nuclei.nucleus import MEASUREMENTS
from hoverfast_platform.storage.geojson_reading import Feature, GeoJsonFile
from hoverfast_platform.storage.json_of_other_tools import features_of

MAX_NUCLEUS_UM2 = 3_000.0
"""A larger "nucleus" is a region: an annotation around nuclei, or of tissue."""

_MIN_ENCLOSED = 2
_MIN_RATIO_TO_MEDIAN = 4.0
"""What encloses the centres of so many others, and is so many times as large as most, is an
annotation around them at any scale."""

_MAX_COORDINATE = 1e8
"""No slide has so many pixels; a number beyond it, or one that is not finite, is damage."""

_MAX_MICRON_DIAMETER_UM = 4.5
_MIN_DIAMETER_UM = 1.5
"""Half of a file's nuclei are never as small as the second; below the first, and with all
coordinates in a corner of the image, they are in micrometres."""

_LEFT_OUT_TYPES = {
    "tile": "tile",
    "pathtileobject": "tile",
    "root": "root object",
    "pathrootobject": "root object",
    "tmacore": "TMA core",
    "tma_core": "TMA core",
    "tmacoreobject": "TMA core",
}
_MALFORMED = (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError)
_OUR_NAMES = [m.qupath_name for m in MEASUREMENTS]
_FLAT = {"Point": "point", "MultiPoint": "point", "LineString": "line", "MultiLineString": "line"}


@dataclass(frozen=True)
class ForeignOutlines:
    """The outlines of a file, in its order.

    Attributes:
        path: The file.
        polygons: ``(N,)`` shapely polygons, level-0 pixels, holes kept, not repaired.
        class_names: Class of each outline; empty where it has none.
        ids: Id of each outline, as the file has them; empty where it has none.
        names: Name of each outline, as people called it; empty where it has none.
        kinds: Each one's type of object in QuPath's words, lower case; empty where none is said.
        objects: ``(N,)`` which object of the file each belongs to; several outlines of one object
            are the parts of a multipolygon.
        measured: ``(N, M)`` float32, what the file says of each of our ``MEASUREMENTS``, in
            their order; NaN where it says nothing.
        left_out: What was left out, by its name in the singular, and how often.
        members: The file's top level besides its features.
    """

    path: Path
    polygons: npt.NDArray[np.object_]
    class_names: npt.NDArray[np.object_]
    ids: npt.NDArray[np.object_]
    names: npt.NDArray[np.object_]
    kinds: npt.NDArray[np.object_]
    objects: npt.NDArray[np.int64]
    measured: npt.NDArray[np.float32]
    left_out: Mapping[str, int] = field(default_factory=dict)
    members: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.polygons)

    def without(self, is_out: npt.NDArray[np.bool_], what: str) -> ForeignOutlines:
        """The others; those left out are counted under a name."""
        if not is_out.any():
            return self
        left_out = Counter(self.left_out)
        left_out[what] += int(is_out.sum())
        return replace(self.only(~is_out), left_out=left_out)

    def only(self, is_kept: npt.NDArray[np.bool_]) -> ForeignOutlines:
        """Some of them; the others are not counted, because they are read as something else."""
        return replace(
            self,
            polygons=self.polygons[is_kept],
            class_names=self.class_names[is_kept],
            ids=self.ids[is_kept],
            names=self.names[is_kept],
            kinds=self.kinds[is_kept],
            objects=self.objects[is_kept],
            measured=self.measured[is_kept],
        )

    def without_regions(self, pixel_um2: float | None) -> ForeignOutlines:
        """The outlines that can be nuclei, without annotations around them.

        Args:
            pixel_um2: Area of a level-0 pixel; None where no scale is known, and then only
                outlines around others are recognised.
        """
        areas = shapely.area(self.polygons)
        found = self
        if pixel_um2 is not None:
            is_large = areas * pixel_um2 > MAX_NUCLEUS_UM2
            found = self.without(is_large, f"outline larger than {MAX_NUCLEUS_UM2:,.0f} um2")
        return found.without(_encloses_others(found.polygons), "annotation around nuclei")

    def notes(self) -> tuple[str, ...]:
        """What a person should know of what was left out; nothing where nothing was."""
        if not self.left_out:
            return ()
        return (f"{self.path.name}: left out {self._listed()}; {len(self)} nuclei read",)

    def without_outside(self, image_size: tuple[int, int]) -> ForeignOutlines:
        """The outlines that reach into an image of (width, height) level-0 pixels."""
        return self.without(self._is_outside(image_size), "outline outside the image")

    def _is_outside(self, image_size: tuple[int, int]) -> npt.NDArray[np.bool_]:
        x0, y0, x1, y1 = shapely.bounds(self.polygons).reshape(-1, 4).T
        outside: npt.NDArray[np.bool_] = (
            (x0 >= image_size[0]) | (y0 >= image_size[1]) | (x1 <= 0) | (y1 <= 0)
        )
        return outside

    def refuse_if_none(self) -> None:
        """Pass if something is left, or nothing was there.

        Raises:
            StorageError: If everything in the file was left out.
        """
        if not len(self) and self.left_out:
            raise StorageError(
                f"{self.path} holds no nucleus: {self._listed()} and nothing else.",
                "Nuclei are polygons; select them in QuPath and export them as GeoJSON.",
            )

    def _listed(self) -> str:
        return ", ".join(
            f"{n} {_plural(what) if n > 1 else what}" for what, n in sorted(self.left_out.items())
        )

    def misfit(self, mpp: float, image_size: tuple[int, int] | None) -> str:
        """Why the coordinates cannot be pixels of the image; empty if they can.

        Args:
            mpp: Micrometres per level-0 pixel.
            image_size: (width, height) of the image in level-0 pixels, where it is known.
        """
        areas = shapely.area(self.polygons)
        areas = areas[areas > 0]  # what crosses itself may have none
        if not len(areas):
            return ""
        diameter_um = float(np.median(np.sqrt(4 / np.pi * areas))) * mpp
        if image_size is not None:
            width, height = image_size
            n_outside = int(self._is_outside(image_size).sum())
            if 2 * n_outside > len(self):
                return (
                    f"{n_outside} of its {len(self)} outlines lie outside the image of "
                    f"{width}x{height} px, so they belong to another image or to another scale"
                )
            right, bottom = shapely.bounds(self.polygons)[:, 2:].max(axis=0)
            is_in_corner = mpp < 1 and right <= width * mpp and bottom <= height * mpp
            if is_in_corner and len(areas) >= 5 and diameter_um < _MAX_MICRON_DIAMETER_UM:
                return (
                    f"half of its nuclei are smaller than {diameter_um:.1f} um and all lie in one "
                    "corner of the image, so its coordinates are probably micrometres"
                )
        if len(areas) >= 3 and diameter_um < _MIN_DIAMETER_UM:
            return (
                f"half of its nuclei are smaller than {diameter_um:.2g} um, so its coordinates are "
                "not pixels of this scale, but perhaps micrometres"
            )
        return ""


def read_outlines(path: Path, *, with_ignored: bool = False) -> ForeignOutlines:
    """Every polygon of a file that may be a nucleus or a region.

    Cells give their nucleus, multipolygons one outline per part, and third coordinates are
    ignored. Tiles, TMA cores, points, lines, empty objects and classes that end with ``*`` (which
    QuPath ignores) are left out and counted.

    Args:
        path: The file.
        with_ignored: Whether objects of classes that QuPath ignores are taken: ``Region*`` is one.

    Raises:
        StorageError: If it cannot be read, or an object is not as GeoJSON has it.
    """
    file = GeoJsonFile(path) if (other := features_of(path)) is None else None
    features = file if file is not None else other or ()
    polygons: list[Any] = []
    class_names: list[str] = []
    ids: list[str] = []
    names: list[str] = []
    kinds: list[str] = []
    objects: list[int] = []
    measured: list[list[float]] = []
    left_out: Counter[str] = Counter()
    for i, feature in enumerate(features):
        class_name, kind = _class_name(feature), _object_type(feature)
        reason = _LEFT_OUT_TYPES.get(kind, "")
        if not reason and class_name.endswith("*") and not with_ignored:
            reason = "object of a class that QuPath ignores"
        if reason:
            left_out[reason] += 1
            continue
        try:
            for polygon in _polygons(_geometry(feature), left_out):
                polygons.append(polygon)
                class_names.append(class_name)
                ids.append(str(feature.get("id", "")))
                names.append(_name(feature))
                kinds.append(kind)
                objects.append(i)
                measured.append(_measured(feature))
        except _MALFORMED as error:
            raise StorageError(
                f"{path}: object {i + 1} is not a polygon as GeoJSON has it.",
                "Expected QuPath's export (File > Export objects as GeoJSON).",
            ) from error
    return ForeignOutlines(
        path,
        _array(polygons),
        _array(class_names),
        _array(ids),
        _array(names),
        _array(kinds),
        np.array(objects, np.int64),
        np.array(measured, np.float32).reshape(len(ids), len(_OUR_NAMES)),
        left_out,
        file.members if file is not None else {},
    )


def _array(items: list[Any]) -> npt.NDArray[np.object_]:
    array = np.empty(len(items), dtype=np.object_)
    array[:] = items
    return array


def _measured(feature: Feature) -> list[float]:
    found = (feature.get("properties") or {}).get("measurements")
    if not isinstance(found, Mapping):
        return [np.nan] * len(_OUR_NAMES)
    return [float(found.get(name, np.nan)) for name in _OUR_NAMES]


def _geometry(feature: Feature) -> Any:
    return feature.get("nucleusGeometry") or feature.get("geometry")


def _polygons(geometry: Any, left_out: Counter[str], depth: int = 0) -> Iterator[Any]:
    """Polygons of a geometry; what is none is counted."""
    if geometry is None:
        left_out["object without a shape"] += 1
        return
    kind = geometry["type"]
    if kind in _FLAT:
        left_out[_FLAT[kind]] += 1
    elif kind == "GeometryCollection" and depth < 8:
        for part in geometry["geometries"]:
            yield from _polygons(part, left_out, depth + 1)
    elif kind in {"Polygon", "MultiPolygon"}:
        coordinates = geometry["coordinates"]
        several = coordinates if kind == "MultiPolygon" else [coordinates]
        if not several:
            left_out["empty outline"] += 1
        for rings in several:
            yield from _one_polygon(rings, left_out)
    else:
        raise ValueError("an unknown type of geometry")


def _one_polygon(rings: Any, left_out: Counter[str]) -> Iterator[Any]:
    arrays = [_ring(ring) for ring in rings]
    if not arrays or len(arrays[0]) < 3:
        left_out["empty outline"] += 1
        return
    if not all(np.abs(ring).max(initial=0) <= _MAX_COORDINATE for ring in arrays):  # NaN too
        left_out["outline with impossible coordinates"] += 1
        return
    yield shapely.Polygon(arrays[0], [hole for hole in arrays[1:] if len(hole) >= 3])


def _ring(points: Any) -> npt.NDArray[np.float64]:
    """``(n, 2)``; further numbers of a point, such as z, are left out."""
    if not points:
        return np.empty((0, 2))
    ring = np.asarray(points, dtype=np.float64)
    if ring.ndim != 2 or ring.shape[1] < 2:
        raise ValueError("a ring is a list of points")
    return ring[:, :2]


def _encloses_others(polygons: npt.NDArray[np.object_]) -> npt.NDArray[np.bool_]:
    """Which polygons lie around several others and are far larger than they."""
    encloses = np.zeros(len(polygons), dtype=np.bool_)
    if len(polygons) <= _MIN_ENCLOSED:
        return encloses
    areas = shapely.area(polygons)
    candidates = np.flatnonzero(areas > _MIN_RATIO_TO_MEDIAN * np.median(areas))
    if not len(candidates):
        return encloses
    outer = shapely.buffer(polygons[candidates], 0)
    tree = shapely.STRtree(shapely.centroid(polygons))
    found, _ = tree.query(outer, predicate="intersects")
    # Each of them also encloses its own centre, unless it is bent.
    encloses[candidates] = np.bincount(found, minlength=len(candidates)) > _MIN_ENCLOSED
    return encloses


def _class_name(feature: Feature) -> str:
    properties = feature.get("properties")
    found = properties.get("classification") if isinstance(properties, Mapping) else None
    if isinstance(found, Mapping):
        names = found.get("names")
        found = found.get("name") or (": ".join(map(str, names)) if isinstance(names, list) else "")
    return str(found or "")


def _name(feature: Feature) -> str:
    properties = feature.get("properties")
    return str((properties.get("name") if isinstance(properties, Mapping) else None) or "")


def _object_type(feature: Feature) -> str:
    """Lower case; versions of QuPath before 0.4 put it in place of the id."""
    properties = feature.get("properties")
    found = ""
    if isinstance(properties, Mapping):
        found = properties.get("objectType") or properties.get("object_type") or ""
    return str(found or feature.get("id") or "").lower()


def _plural(what: str) -> str:
    head, space, rest = what.partition(" ")
    if head in {"root", "TMA", "empty"}:
        return f"{what}s"
    return f"{head}s{space}{rest}"
