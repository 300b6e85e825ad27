"""Zeiss CZI through pylibCZIrw (extra ``czi``), from which `hoverfast slide extract` makes a slide.

OpenSlide reads CZI of one plane and refuses the others: stacks (Z), and files that name further
dimensions even where each has one value.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self
from xml.etree import ElementTree

import numpy as np

from hoverfast_platform.arrays import RgbImage
from hoverfast_platform.bit_depth import white_level
from hoverfast_platform.errors import MissingMppError, SettingsError, UnreadableSlideError
from hoverfast_platform.geometry import Box, Mpp
from hoverfast_platform.slide.colours import UM_PER_UNIT, to_rgb
from hoverfast_platform.slide.czi_process import CziProcess, StoredTile, WantedPixels
from hoverfast_platform.slide.reader import GREY_NOTE, SlideInfo, check_plausible, check_tile
from hoverfast_platform.slide.scenes import find_scene, scene_names
from hoverfast_platform.slide.white_ground import read_on_white

CZI_START = b"ZISRAWFILE"

_SAMPLE_PX = 1024
_BYTES_PER_PIXEL = {"Gray8": 1, "Gray16": 2, "Bgr24": 3, "Bgr48": 6}
_DIMENSIONS = {
    "C": "channels",
    "T": "points in time",
    "R": "rotations",
    "I": "illuminations",
    "H": "phases",
    "V": "views",
    "B": "blocks",
}


@dataclass
class _Scene:
    """What a file holds of one scene, by its directory of tiles.

    Attributes:
        box: What its tiles of full resolution cover, in the file's pixels.
        values: Dimension to the values that occur in it.
        pixel_types: Forms of pixels that occur in it.
        tile_px: Pixels of its largest tile.
    """

    box: Box
    values: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    pixel_types: set[str] = field(default_factory=set)
    tile_px: int = 0

    @property
    def planes(self) -> list[int]:
        return sorted(self.values["Z"])

    def add(self, tile: StoredTile) -> None:
        """Take in a tile of full resolution."""
        self.box = Box(
            x0=min(self.box.x0, tile.box.x0),
            y0=min(self.box.y0, tile.box.y0),
            x1=max(self.box.x1, tile.box.x1),
            y1=max(self.box.y1, tile.box.y1),
        )
        for dimension in ("Z", *_DIMENSIONS):
            self.values[dimension].add(tile.coordinate.get(dimension, 0))
        self.pixel_types.add(tile.pixel_type)
        self.tile_px = max(self.tile_px, tile.box.width * tile.box.height)


class CziReader:
    """One plane of one scene of a CZI.

    Args:
        path: The file.
        mpp_override: Instead of the scale that it says.
        scene: Name of the scene, or its number from 1; None: the only one.
        z: Plane of a stack, by the file's own number; None: the only one.

    Raises:
        UnreadableSlideError: If it is not a CZI in grey or colour, is damaged, or lacks the plane.
        MissingMppError: If it does not say its scale and none is given.
        SettingsError: If it has no scene of that name, or pylibCZIrw is not installed.
    """

    def __init__(
        self,
        path: Path,
        *,
        mpp_override: float | None = None,
        scene: str | None = None,
        z: int | None = None,
    ) -> None:
        self.path = path
        _check_library(path)
        self._file = CziProcess(path)
        try:
            self._open(mpp_override, scene, z)
        except BaseException:
            self._file.close()
            raise

    def _open(self, mpp_override: float | None, scene: str | None, z: int | None) -> None:
        xml, tiles = self._file.directory()
        metadata, scenes = _parsed(xml), _scenes(tiles)
        names = _names(metadata, list(scenes))
        if not scenes or (scene is None and len(scenes) > 1):
            raise UnreadableSlideError(
                f"{self.path.name} holds {len(scenes)} scenes: {', '.join(names[:20]) or 'none'}.",
                "Choose one with --scene.",
            )
        at = 0 if scene is None else find_scene(self.path, names, scene)
        self._scene, found = list(scenes.items())[at]
        self._box = found.box
        self._plane = _plane(self.path, found, z)
        self._pixel_type = _pixel_type(self.path, found)
        check_tile(self.path, found.tile_px * _BYTES_PER_PIXEL[self._pixel_type])
        mpp = Mpp(mpp_override, mpp_override) if mpp_override else _mpp(self.path, metadata)
        check_plausible(self.path, mpp)
        self._white = self._white_level(metadata)
        notes: tuple[str, ...] = (GREY_NOTE,) if self._pixel_type.startswith("Gray") else ()
        if self._white != 255:
            notes += (f"Its values were scaled: {self._white:g} is white.",)
        size = (self._box.width, self._box.height)
        self.info = SlideInfo(
            name=self.path.name,
            vendor="zeiss",
            width=size[0],
            height=size[1],
            mpp=mpp,
            mpp_source="override" if mpp_override else "file",
            level_sizes=(size,),
            notes=notes,
            scenes=names,
        )

    def _white_level(self, metadata: ElementTree.Element) -> float:
        """The brightest value there can be: by the file's own word, else by its values."""
        if _BYTES_PER_PIXEL[self._pixel_type] in (1, 3):
            return 255.0
        stated = metadata.findtext(".//Information/Image/ComponentBitCount") or ""
        if stated.isdecimal() and 8 <= int(stated) <= 16:
            return float(2 ** int(stated) - 1)
        zoom = min(1.0, _SAMPLE_PX / max(self._box.width, self._box.height))
        level = white_level("u", float(self._pixels(self._box, zoom, background=0.0).max()))
        return level or 65535.0

    def read_level(self, level: int, box: Box) -> RgbImage:
        """Pixels of ``box``; outside and where nothing was scanned is white."""
        return read_on_white(
            box,
            width=self.info.width,
            height=self.info.height,
            name=self.path.name,
            read=self._read,
        )

    def _read(self, part: Box) -> RgbImage:
        """Pixels of a part of the slide."""
        wanted = Box.of(
            x=part.x0 + self._box.x0,
            y=part.y0 + self._box.y0,
            width=part.width,
            height=part.height,
        )
        return to_rgb(self._pixels(wanted, 1.0, background=1.0), self._white)

    def _pixels(self, box: Box, zoom: float, *, background: float) -> np.ndarray[Any, Any]:
        """``(H, W, colours)`` as stored, red first; ``box`` in the file's pixels."""
        wanted = WantedPixels(box, zoom, self._plane, self._scene, self._pixel_type, background)
        return np.ascontiguousarray(self._file.pixels(wanted)[..., ::-1])

    def expect_readers(self, n_threads: int) -> None:
        """See ``SlideReader``. One region is read at a time."""

    def close(self) -> None:
        """Release the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def _check_library(path: Path) -> None:
    if find_spec("pylibCZIrw") is None:
        raise SettingsError(
            f"{path.name} needs the package pylibCZIrw, which is not installed.",
            "pip install 'hoverfast-platform[czi]'",
        )


def _scenes(tiles: Iterable[StoredTile]) -> dict[int | None, _Scene]:
    """Number in the file to scene, in order; None where the file has no scenes."""
    scenes: dict[int | None, _Scene] = {}
    for tile in tiles:
        scenes.setdefault(tile.coordinate.get("S"), _Scene(tile.box)).add(tile)
    return dict(sorted(scenes.items(), key=lambda item: -1 if item[0] is None else item[0]))


def _parsed(xml: str) -> ElementTree.Element:
    """What the file says of itself; nothing where that is damaged, so that --mpp can help."""
    try:
        return ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return ElementTree.Element("nothing")


def _names(metadata: ElementTree.Element, numbers: list[int | None]) -> tuple[str, ...]:
    said = {
        one.get("Index", ""): one.get("Name", "")
        for one in metadata.findall(".//Information/Image/Dimensions/S/Scenes/Scene")
    }
    return scene_names([said.get(str(number), "") for number in numbers])


def _plane(path: Path, scene: _Scene, z: int | None) -> dict[str, int]:
    """The value of every dimension; raises UnreadableSlideError where there is no single one."""
    for dimension, what in _DIMENSIONS.items():
        if len(scene.values[dimension]) > 1:
            raise UnreadableSlideError(
                f"{path.name} has {len(scene.values[dimension])} {what} ({dimension}).",
                "One image in grey or colour is read; fluorescence and time series are not.",
            )
    planes = scene.planes
    if z is None and len(planes) > 1:
        raise UnreadableSlideError(
            f"{path.name} is a stack of {len(planes)} planes: {_listed(planes)}.",
            f"Choose one: --z {planes[len(planes) // 2]} is in the middle.",
        )
    if z is not None and z not in planes:
        raise UnreadableSlideError(
            f"{path.name} has no plane {z}; it has {_listed(planes)}.",
            "Choose one of these with --z.",
        )
    single = {dimension: next(iter(scene.values[dimension])) for dimension in _DIMENSIONS}
    return {**single, "Z": planes[0] if z is None else z}


def _listed(planes: list[int]) -> str:
    if planes == list(range(planes[0], planes[-1] + 1)) and len(planes) > 2:
        return f"{planes[0]} to {planes[-1]}"
    return ", ".join(map(str, planes[:20]))


def _pixel_type(path: Path, scene: _Scene) -> str:
    if len(scene.pixel_types) != 1 or not scene.pixel_types <= _BYTES_PER_PIXEL.keys():
        raise UnreadableSlideError(
            f"{path.name}: its pixels are {', '.join(sorted(scene.pixel_types))}.",
            "Expected grey or colour of 8 or 16 bits.",
        )
    return next(iter(scene.pixel_types))


def _mpp(path: Path, metadata: ElementTree.Element) -> Mpp:
    """The scale: the format keeps metres, and names the unit in which programs show them."""
    sides = []
    for axis in "XY":
        distance = metadata.find(f".//Scaling/Items/Distance[@Id='{axis}']")
        value = (distance.findtext("Value") if distance is not None else None) or ""
        shown_in = (distance.findtext("DefaultUnitFormat") if distance is not None else None) or ""
        um = _number(value) * UM_PER_UNIT["m"]
        if not (um > 0 and math.isfinite(um)) or (shown_in and shown_in not in UM_PER_UNIT):
            raise MissingMppError(
                f"{path.name} does not say how many micrometres a pixel has"
                f"{f' (its scale is {value} {shown_in})' if value else ''}, and it is never "
                "guessed.",
                "Look it up at the scanner and give it: --mpp 0.25.",
            )
        sides.append(um)
    return Mpp(*sides)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
