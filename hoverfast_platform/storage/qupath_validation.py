"""Would QuPath import this file, all of it, as detections? Stricter than QuPath where it forgives.

One invalid polygon makes QuPath 0.6 and later refuse the whole file, so everything is checked.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import shapely

from hoverfast_platform.errors import StorageError
from hoverfast_platform.storage.geojson_reading import GeoJsonFile

_MAX_LISTED = 5


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
        width: Of the slide's frame, level-0 pixels; polygons must lie inside if given.
        height: Likewise.

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
    problems: list[str] = []
    if file.members.get("type") != "FeatureCollection":
        found = file.members.get("type")
        problems.append(f"top level is {found!r}, expected a FeatureCollection")
    if not isinstance(file.members.get("provenance"), dict):
        problems.append("no provenance member")
    seen: set[str] = set()
    n_features = 0
    for i, feature in enumerate(file):
        problems += [f"feature {i}: {text}" for text in _problems(feature, seen, width, height)]
        n_features += 1
        if len(problems) > _MAX_LISTED:
            break
    if problems:
        raise StorageError(
            f"{path.name} is not what QuPath imports: {'; '.join(problems[:_MAX_LISTED])}.",
            "Write it again; if it happens again, please report it with the file.",
        )
    return QuPathReport(n_features, file.members["provenance"])


def _problems(
    feature: dict[str, Any], seen: set[str], width: float | None, height: float | None
) -> Iterator[str]:
    if feature.get("type") != "Feature":
        yield f"type is {feature.get('type')!r}"
    identity = feature.get("id")
    try:
        uuid.UUID(identity)
    except (ValueError, TypeError, AttributeError):
        yield f"id {identity!r} is no UUID"
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
    x0, y0, x1, y1 = polygon.bounds
    if x0 < 0 or y0 < 0:
        yield f"polygon reaches to ({x0}, {y0}), outside the slide"
    if (width is not None and x1 > width + 1) or (height is not None and y1 > height + 1):
        yield f"polygon reaches to ({x1}, {y1}), outside the slide"
