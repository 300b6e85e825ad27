"""JSON of nuclei that is not GeoJSON: COCO, HoVer-Net's and LabelMe's files as features."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hoverfast_platform.errors import StorageError
from hoverfast_platform.storage.foreign_text import opened_text
from hoverfast_platform.storage.geojson_reading import Feature

_MARKS = ('"annotations"', '"nuc"', '"shapes"')
_SNIFFED_CHARACTERS = 1 << 20


def features_of(path: Path) -> list[Feature] | None:
    """The objects of such a file as GeoJSON features; None if it is not one of them.

    Raises:
        StorageError: If it is one of them, and its outlines cannot be taken without a guess.
    """
    with opened_text(path) as file:
        head = file.read(_SNIFFED_CHARACTERS)
        if '"features"' in head or not any(mark in head for mark in _MARKS):
            return None
        try:
            content = json.loads(head + file.read())
        except (RecursionError, ValueError):
            return None  # the reader of GeoJSON says what is wrong
    if not isinstance(content, dict):
        return None
    try:
        if isinstance(content.get("annotations"), list) and "images" in content:
            return list(_of_coco(path, content))
        if isinstance(content.get("nuc"), dict):
            return [_feature([one["contour"]]) for one in content["nuc"].values()]
        if isinstance(content.get("shapes"), list):
            return list(_of_labelme(content["shapes"]))
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
        raise StorageError(
            f"{path} looks like a file of COCO, HoVer-Net or LabelMe, and an object in it has no "
            "outline.",
            "Export it again with outlines, or as GeoJSON.",
        ) from error
    return None


def _of_coco(path: Path, content: dict[str, Any]) -> Iterator[Feature]:
    if len(content["images"]) != 1:
        raise StorageError(
            f"{path} is a COCO file of {len(content['images'])} images.",
            "Write one file for each image, named after it.",
        )
    names = {one.get("id"): one.get("name", "") for one in content.get("categories") or []}
    for one in content["annotations"]:
        if not isinstance(one["segmentation"], list):
            raise StorageError(
                f"{path} is a COCO file with run lengths instead of outlines.",
                "Write its objects as polygons, or as a label image.",
            )
        rings = [_pairs(flat) for flat in one["segmentation"]]
        name = names.get(one.get("category_id"), "")
        for ring in rings:
            yield _feature([ring], name)


def _pairs(flat: list[float]) -> list[list[float]]:
    return [[flat[i], flat[i + 1]] for i in range(0, len(flat) - 1, 2)]


def _of_labelme(shapes: list[dict[str, Any]]) -> Iterator[Feature]:
    for shape in shapes:
        kind = shape.get("shape_type") or "polygon"
        points = shape["points"]
        if kind == "polygon":
            yield _feature([points], shape.get("label", ""))
        elif kind == "point":
            yield {"geometry": {"type": "Point", "coordinates": points}}
        elif kind in {"line", "linestrip"}:
            yield {"geometry": {"type": "LineString", "coordinates": points}}
        else:
            raise ValueError("circles, rectangles and masks have no outline here")


def _feature(rings: list[Any], name: str = "") -> Feature:
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": rings},
        "properties": {"classification": {"name": str(name)}} if name else {},
    }
