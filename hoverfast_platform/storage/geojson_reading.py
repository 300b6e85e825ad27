"""Reading GeoJSON of nuclei: ours, the published HoverFast's, QuPath's and other tools' exports.

Ours and the published tool's slides have a feature per line and are read line by line, so that
RAM does not hold the file; anything else is parsed as a whole. What the features mean is in
``foreign_outlines``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import orjson

from hoverfast_platform.errors import StorageError
from hoverfast_platform.storage.foreign_text import opened_text

Feature = dict[str, Any]
"""One GeoJSON feature, as ``json`` parses it."""

_STARTS = ("[", '"features":[')
"""How the first line of a file with a feature per line ends: the published tool's, ours."""
_ENDS = frozenset({"]", "]}"})
_GEOMETRIES = frozenset(
    {"Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon",
     "GeometryCollection"}
)  # fmt: skip
_RECORD_SEPARATOR = "\x1e"
"""Stands before each text of a GeoJSON text sequence (RFC 8142)."""


class GeoJsonFile:
    """An open GeoJSON file; iterate it once for its features.

    A FeatureCollection, a bare array of features, one feature, one geometry, or a feature per
    line; in UTF-8, UTF-16 or UTF-32, with a byte order mark or without; gzip or not, by its first
    bytes and not by its name.

    Attributes:
        members: The top level besides the features; of a bare array nothing.
        is_collection: Whether the top level is an object, as GeoJSON asks for.

    Raises:
        StorageError: If it is not such a file, damaged, nested too deeply or too large.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.members: dict[str, Any] = {}
        self.is_collection = False
        self._whole: list[Any] | None = None
        with self._reading() as file:
            head, second = file.readline(), file.readline()
            if head.strip().endswith(_STARTS) and _is_one_feature(second):
                self.is_collection = head.strip() != "["
                self.members = json.loads(head + "]}") if self.is_collection else {}
            else:
                self._take_whole(head + second + file.read())
        self.members.pop("features", None)

    def _take_whole(self, text: str) -> None:
        if not text.strip():
            raise _damaged(self.path, "it is empty")
        try:
            content = json.loads(text)
        except json.JSONDecodeError as error:
            if error.msg != "Extra data" and not text.startswith(_RECORD_SEPARATOR):
                raise
            content = [json.loads(line) for line in _lines(text)]
        if isinstance(content, list):
            self._whole = content
            return
        if not isinstance(content, dict):
            raise _damaged(self.path, "it has no list of features")
        kind = str(content.get("type"))
        if kind == "Feature":
            self._whole = [content]
        elif kind in _GEOMETRIES:
            self._whole = [{"type": "Feature", "geometry": content}]
        else:
            self.is_collection = True
            self.members = dict(content)
            found = content.get("features")
            if not isinstance(found, list):
                raise _damaged(self.path, "it has no list of features")
            self._whole = found

    def __iter__(self) -> Iterator[Feature]:
        for i, feature in enumerate(self._all()):
            if not isinstance(feature, dict):
                raise _damaged(self.path, f"number {i + 1} of its list is not a feature")
            yield feature

    def _all(self) -> Iterator[Any]:
        if self._whole is not None:
            yield from self._whole
            return
        with self._reading() as file:
            file.readline()
            # It may end after "[" or a feature without comma, and must after the latter.
            may_end, must_end = True, False
            for line in file:
                text = line.strip()
                if text in _ENDS:
                    if not may_end:
                        raise _damaged(self.path, "a comma stands before its end")
                    if (text == "]}") != self.is_collection or file.read().strip():
                        raise _damaged(self.path, "something follows its end")
                    return
                if not text:
                    continue
                if must_end:
                    raise _damaged(self.path, "a comma is missing between features")
                has_comma = text.endswith(",")
                may_end, must_end = not has_comma, not has_comma
                yield _parsed(text.removesuffix(","))
            raise _damaged(self.path, "it ends in the middle")

    @contextmanager
    def _reading(self) -> Iterator[IO[str]]:
        """The file as text; no error of parsing repeats what is in the file."""
        with opened_text(self.path) as file:
            try:
                yield file
            except RecursionError as error:
                raise _damaged(self.path, "it is nested too deeply") from error
            except json.JSONDecodeError as error:
                where = f"{error.msg} at line {error.lineno}, column {error.colno}"
                raise _damaged(self.path, where) from error
            except UnicodeError:
                raise
            except ValueError as error:  # a number of thousands of digits
                raise _damaged(self.path, "it holds a number that cannot be read") from error


def _lines(text: str) -> Iterator[str]:
    for line in text.splitlines():
        stripped = line.strip().lstrip(_RECORD_SEPARATOR)
        if stripped:
            yield stripped


def _parsed(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return json.loads(text)  # takes NaN too, and tells what is wrong


def _is_one_feature(line: str) -> bool:
    """Whether a line is a whole feature, or the end: not so in files with indentation."""
    text = line.strip()
    if text in _ENDS:
        return True
    try:
        return isinstance(json.loads(text.removesuffix(",")), dict)
    except (ValueError, RecursionError):
        return False


def _damaged(path: Path, why: str) -> StorageError:
    return StorageError(
        f"{path} is not whole, readable JSON: {why}.",
        "It is truncated or damaged, or not a GeoJSON file.",
    )
