"""Would QuPath import this file, all of it, as detections? Stricter than QuPath where it forgives.

One polygon that is invalid, or becomes so on QuPath's grid of a hundredth of a pixel, makes
QuPath 0.6 and later refuse the whole file, so everything is checked: many features at once, and
one by one, to say what is wrong, only where those do not all pass.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import math
import re
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import shapely
from isal import igzip

from hoverfast_platform.errors import StorageError
from hoverfast_platform.nuclei.contours import MIN_CLEARANCE_PX
from hoverfast_platform.nuclei.rings import are_clear
from hoverfast_platform.storage.geojson import CLASSIFICATION
from hoverfast_platform.storage.geojson_reading import Feature, GeoJsonFile
from hoverfast_platform.storage.gzip_parts import DEFLATE_ERROR

_MAX_LISTED = 5
_BATCH_SIZE = 500
_CHUNK_BYTES = 2**20
_END = b"]}\n"
_UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""As it is usually written; :class:`uuid.UUID` takes more."""


@dataclass(frozen=True)
class QuPathReport:
    """A file that passed.

    Attributes:
        n_features: How many detections QuPath will show.
        provenance: What the file says of its making.
    """

    n_features: int
    provenance: dict[str, Any]


def validate_qupath_file(
    path: Path, *, width: float | None = None, height: float | None = None
) -> QuPathReport:
    """Check a ``.json.gz`` or ``.geojson`` file against QuPath's rules.

    Args:
        path: The file.
        width: Width of the slide's frame, level-0 pixels; polygons must lie inside if given.
        height: Height of the slide's frame, level-0 pixels; polygons must lie inside if given.

    Raises:
        StorageError: Listing the first violations, or that the file is not whole JSON.
    """
    file = GeoJsonFile(path)
    if not file.is_collection:
        raise StorageError(
            f"{path.name} holds a list, expected a FeatureCollection.",
            "Files of the published HoverFast are bare arrays, which are not GeoJSON (RFC 7946); "
            "`hoverfast convert` brings them into form.",
        )
    with _no_search_for_cycles():
        return _validated(file, width, height)


def _validated(file: GeoJsonFile, width: float | None, height: float | None) -> QuPathReport:
    problems: list[str] = []
    if file.members.get("type") != "FeatureCollection":
        found = file.members.get("type")
        problems.append(f"top level is {found!r}, expected a FeatureCollection")
    if not isinstance(file.members.get("provenance"), dict):
        problems.append("no provenance member")
    n_features, found_problems = _checked(file, width, height)
    problems += found_problems
    if problems:
        raise _not_for_qupath(file.path.name, problems)
    return QuPathReport(n_features, file.members["provenance"])


def validate_features(
    lines: Iterable[bytes], *, name: str, width: float, height: float
) -> list[bytes]:
    """Check features against QuPath's rules, as :func:`validate_qupath_file` checks a file's.

    Args:
        lines: The text of each.
        name: Name of what they are a part of, for messages.
        width: Width of the slide's frame, level-0 pixels.
        height: Height of the slide's frame, level-0 pixels.

    Returns:
        The 16 bytes of each feature's id; no two are the same.

    Raises:
        StorageError: Listing the first violations.
    """
    ids: list[str] = []

    def features() -> Iterator[Feature]:
        for line in lines:
            feature = orjson.loads(line)
            ids.append(str(feature["id"]))
            yield feature

    try:
        with _no_search_for_cycles():
            _, problems = _checked(features(), width, height)
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise _not_for_qupath(name, [f"a line is not a feature: {error}"]) from error
    if problems:
        raise _not_for_qupath(name, problems)
    return [uuid.UUID(identity).bytes for identity in ids]


def count_joined_features(path: Path) -> int:
    """Read a file back that was joined of validated features, and count them.

    Gzip's checksum is that of the parts' own (``gzip_parts``), so what passes is the text that
    was validated, whole and in the form in which it was joined.

    Raises:
        StorageError: If it is damaged.
    """
    n_lines, end = 0, b""
    opened: Any = igzip.open
    try:
        with opened(path, "rb") as file:
            head = orjson.loads(file.readline() + b"]}")
            while chunk := file.read(_CHUNK_BYTES):
                n_lines += chunk.count(b"\n")
                end = (end + chunk)[-len(_END) :]
    except (OSError, EOFError, ValueError, DEFLATE_ERROR) as error:
        raise StorageError(
            f"{path.name} is not whole: {error}.", "Nothing was published; run again."
        ) from error
    if end != _END or head.get("type") != "FeatureCollection" or "provenance" not in head:
        raise _not_for_qupath(path.name, ["it does not begin or end as it was written"])
    return n_lines - 1


def _not_for_qupath(name: str, problems: list[str]) -> StorageError:
    return StorageError(
        f"{name} is not what QuPath imports: {'; '.join(problems[:_MAX_LISTED])}.",
        "Write it again; if it happens again, please report it with the file.",
    )


def _checked(
    all_features: Iterable[Feature], width: float | None, height: float | None
) -> tuple[int, list[str]]:
    """How many features there are, and what is wrong with the first that are not good."""
    problems: list[str] = []
    seen: set[str] = set()
    n_features = 0
    for features in _batches(all_features):
        if not _all_pass(features, seen, width, height):
            for i, feature in enumerate(features, n_features):
                found = _problems(feature, seen, width, height)
                problems += [f"feature {i}: {text}" for text in found]
        n_features += len(features)
        if len(problems) > _MAX_LISTED:
            break
    return n_features, problems


@contextlib.contextmanager
def _no_search_for_cycles() -> Iterator[None]:
    """Parsed JSON has none, and every feature is so many lists that looking takes a third."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _batches(features: Iterable[Feature]) -> Iterator[list[Feature]]:
    iterator = iter(features)
    while batch := list(itertools.islice(iterator, _BATCH_SIZE)):
        yield batch


def _all_pass(
    features: list[Feature], seen: set[str], width: float | None, height: float | None
) -> bool:
    """Whether :func:`_problems` has nothing to say of any; False where only it can tell.

    The ids of features that pass are added to ``seen``.
    """
    try:
        if not all(map(_has_usual_form, features)):
            return False
        rings = [feature["geometry"]["coordinates"][0] for feature in features]
        numbers = [n for f in features for n in f["properties"].get("measurements", {}).values()]
        ids = {feature["id"] for feature in features}
        is_good = (
            set(map(type, numbers)) <= {int, float}
            and bool(np.isfinite(numbers).all())
            and all(map(_UUID.fullmatch, ids))
            and len(ids) == len(features)
            and seen.isdisjoint(ids)
            and _are_good_rings(rings, width, height)
        )
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError):
        return False
    if is_good:
        seen |= ids
    return is_good


def _has_usual_form(feature: Feature) -> bool:
    properties, geometry = feature["properties"], feature["geometry"]
    return (
        feature["type"] == "Feature"
        and properties["objectType"] == "detection"
        and "type" not in properties
        and "object_type" not in properties
        and properties["classification"] == CLASSIFICATION
        and geometry["type"] == "Polygon"
        and len(geometry["coordinates"]) == 1
    )


def _are_good_rings(rings: list[Any], width: float | None, height: float | None) -> bool:
    points = list(itertools.chain.from_iterable(rings))
    if set(map(len, points)) != {2}:
        return False
    numbers = itertools.chain.from_iterable(points)
    xy = np.fromiter(numbers, np.float64, 2 * len(points)).reshape(-1, 2)
    lengths = np.array([len(ring) for ring in rings])
    ends = np.cumsum(lengths)
    limits = (np.inf if width is None else width + 1, np.inf if height is None else height + 1)
    if xy.shape != (ends[-1], 2) or lengths.min() < 4 or (xy < 0).any() or (xy > limits).any():
        return False
    if (xy[ends - lengths] != xy[ends - 1]).any():
        return False
    if not are_clear(xy, np.concatenate([[0], ends]), MIN_CLEARANCE_PX).all():
        return False
    index = np.repeat(np.arange(len(rings)), lengths)
    polygons = shapely.polygons(shapely.linearrings(xy, indices=index))
    return bool(shapely.is_valid(polygons).all() and (shapely.area(polygons) > 0).all())


def _problems(
    feature: dict[str, Any], seen: set[str], width: float | None, height: float | None
) -> Iterator[str]:
    if feature.get("type") != "Feature":
        yield f"type is {feature.get('type')!r}"
    identity = feature.get("id")
    try:
        uuid.UUID(identity)
    except (ValueError, TypeError, AttributeError):
        yield f"id {identity!r} is not a UUID"
    if identity in seen:
        yield f"id {identity} occurs twice"
    seen.add(str(identity))
    properties = feature.get("properties") or {}
    if properties.get("objectType") != "detection":
        yield f"objectType is {properties.get('objectType')!r}, expected 'detection'"
    if "type" in properties or "object_type" in properties:
        yield "properties.type and object_type are read as object types"
    yield from _classification_problems(properties.get("classification"))
    measurements = properties.get("measurements", {})
    for name, value in measurements.items():
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not math.isfinite(value)
        ):
            yield f"measurement {name!r} is {value!r}"
    yield from _geometry_problems(feature.get("geometry") or {}, width, height)


def _classification_problems(classification: Any) -> Iterator[str]:
    if not isinstance(classification, dict) or not classification.get("name"):
        yield f"classification {classification!r} has no name"
        return
    colour = classification.get("color")
    if not (
        isinstance(colour, list)
        and len(colour) == 3
        and all(isinstance(c, int) and 0 <= c <= 255 for c in colour)
    ):
        yield f"classification colour {colour!r} is not three numbers 0..255"


def _geometry_problems(
    geometry: dict[str, Any], width: float | None, height: float | None
) -> Iterator[str]:
    rings = geometry.get("coordinates")
    if geometry.get("type") != "Polygon" or not isinstance(rings, list) or not rings:
        yield f"geometry is {geometry.get('type')!r}, expected a Polygon"
        return
    for ring in rings:
        if len(ring) < 4:
            yield f"ring of {len(ring)} points"
            return
        if ring[0] != ring[-1]:
            yield "ring is not closed"
            return
    polygon = shapely.Polygon(rings[0], rings[1:])
    if not polygon.is_valid:
        yield f"polygon is not valid: {shapely.is_valid_reason(polygon)}"
    elif polygon.area <= 0:
        yield "polygon has no area"
    elif (clearance := shapely.minimum_clearance(polygon)) < MIN_CLEARANCE_PX:
        yield (
            f"a vertex lies {clearance:.3g} px from another side, less than "
            f"{MIN_CLEARANCE_PX:g} px: QuPath would fold the polygon onto itself"
        )
    x0, y0, x1, y1 = polygon.bounds
    if x0 < 0 or y0 < 0:
        yield f"polygon reaches to ({x0}, {y0}), outside the slide"
    if (width is not None and x1 > width + 1) or (height is not None and y1 > height + 1):
        yield f"polygon reaches to ({x1}, {y1}), outside the slide"
