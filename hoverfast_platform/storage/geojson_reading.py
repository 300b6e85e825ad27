"""Reading GeoJSON of nuclei: ours, the published HoverFast's, QuPath's exports.

Ours and the published tool's slides have a feature per line and are read line by line, so that
RAM does not hold the file; anything else is parsed as a whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
from isal import igzip, isal_zlib

from hoverfast_platform.errors import StorageError

Feature = dict[str, Any]
"""One GeoJSON feature, as ``json`` parses it."""

_STARTS = ("[", '"features":[')
"""How the first line of a file with a feature per line ends: the published tool's, ours."""
_ENDS = frozenset({"]", "]}"})


class GeoJsonFile:
    """An open GeoJSON file; iterate it once for its features.

    Attributes:
        members: The top level besides the features; of a bare array nothing.
        is_collection: Whether the top level is an object, as GeoJSON asks for.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.members: dict[str, Any] = {}
        self.is_collection = False
        self._whole: list[Feature] | None = None
        with self._reading() as file:
            head, second = file.readline(), file.readline()
            if head.strip().endswith(_STARTS) and _is_one_feature(second):
                self.is_collection = head.strip() != "["
                self.members = json.loads(head + "]}") if self.is_collection else {}
            else:
                content = json.loads(head + second + file.read())
                self.is_collection = isinstance(content, dict)
                self.members = dict(content) if isinstance(content, dict) else {}
                self._whole = self.members.get("features") if self.is_collection else content
                if not isinstance(self._whole, list):
                    raise _damaged(path, "it has no list of features")
        self.members.pop("features", None)

    def __iter__(self) -> Iterator[Feature]:
        if self._whole is not None:
            yield from self._whole
            return
        with self._reading() as file:
            file.readline()
            may_end, must_end = (
                True,
                False,
            )  # after "[" or a feature without comma; after the latter
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

    def _reading(self) -> _Reading:
        return _Reading(self.path)


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
    except ValueError:
        return False


class _Reading:
    """The file as text, with every way in which it can be broken as one error."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Any:
        try:
            opener = igzip.open if self._path.suffix == ".gz" else open
            self._file = opener(self._path, "rt", encoding="utf-8")
        except OSError as error:
            raise _damaged(self._path, str(error)) from error
        return self._file

    def __exit__(self, kind: object, error: BaseException | None, _traceback: object) -> None:
        self._file.close()
        if isinstance(error, OSError | EOFError | ValueError | isal_zlib.error) and not isinstance(
            error, StorageError
        ):
            raise _damaged(self._path, str(error)) from error


def _damaged(path: Path, why: str) -> StorageError:
    return StorageError(
        f"{path} is not whole, readable JSON: {why}.", "It is truncated or damaged."
    )
