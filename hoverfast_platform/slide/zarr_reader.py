"""OME-Zarr and plain Zarr: folders of chunks, from which `hoverfast slide extract` makes a slide.

A slide is known by the bytes of its file, so that a folder is not segmented as it is.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
import zarr.api.asynchronous as zarr_async
from zarr import AsyncArray, AsyncGroup

from hoverfast_platform.arrays import RgbImage
from hoverfast_platform.bit_depth import white_level
from hoverfast_platform.errors import HoverFastError, MissingMppError, UnreadableSlideError
from hoverfast_platform.geometry import Box, Mpp
from hoverfast_platform.slide.colours import COLOUR_NAMES, UM_PER_UNIT, to_rgb
from hoverfast_platform.slide.reader import GREY_NOTE, SlideInfo, check_plausible, check_tile
from hoverfast_platform.slide.scenes import find_scene, scene_names
from hoverfast_platform.slide.white_ground import read_on_white

_T = TypeVar("_T")
_PATIENCE_S = 120.0
_SAMPLE_PX = 1024
_AXES = "tczyx"


class ZarrReader:
    """A Zarr folder of one image, or of several of which one is chosen.

    Args:
        path: The folder.
        mpp_override: Instead of the scale that it says.
        scene: Name or number of the image; None: the only one.
        z: Plane of a stack, from 0; None: the only one.

    Raises:
        UnreadableSlideError: If it is not one plane in grey or colour, or is damaged.
        MissingMppError: If it does not say its scale and none is given.
        SettingsError: If it has no scene of that name.
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
        try:
            self._open(mpp_override, scene, z)
        except (HoverFastError, MemoryError):
            raise
        except Exception as error:  # a damaged index makes zarr raise anything
            raise UnreadableSlideError(
                f"{path.name} is not a readable Zarr: {type(error).__name__}: {error}.",
                "Expected OME-Zarr 0.4 or 0.5, or an array of (height, width, 3).",
            ) from error

    def _open(self, mpp_override: float | None, scene: str | None, z: int | None) -> None:
        image = _in_time(_find_image(self.path, scene))
        self._levels = image.levels
        first = self._levels[0]
        for level in self._levels:
            check_tile(self.path, math.prod(level.chunks) * np.dtype(level.dtype).itemsize)
        self._axes = image.axes
        self._z = self._plane(first.shape, z)
        mpp = Mpp(mpp_override, mpp_override) if mpp_override else image.mpp
        if mpp is None:
            raise MissingMppError(
                f"{self.path.name} does not say how many micrometres a pixel has, and it is never "
                "guessed.",
                "Look it up at the scanner and give it: --mpp 0.25.",
            )
        check_plausible(self.path, mpp)
        sizes = tuple(
            (level.shape[self._axes.index("x")], level.shape[self._axes.index("y")])
            for level in self._levels
        )
        self._sizes = sizes
        self._white = self._white_level()
        notes: tuple[str, ...] = (GREY_NOTE,) if self._n_colours() == 1 else ()
        if self._white != 255:
            notes += (f"Its values were scaled: {self._white:g} is white.",)
        (width, height) = sizes[0]
        self.info = SlideInfo(
            name=self.path.name,
            vendor="zarr",
            width=width,
            height=height,
            mpp=mpp,
            mpp_source="override" if mpp_override else "file",
            level_downsamples=tuple((width / w, height / h) for w, h in sizes),
            level_sizes=sizes,
            notes=notes,
            scenes=image.scenes,
        )

    def _n_colours(self) -> int:
        shape = self._levels[0].shape
        return int(shape[self._axes.index("c")]) if "c" in self._axes else 1

    def _plane(self, shape: tuple[int, ...], z: int | None) -> int:
        """The plane that is read; raises UnreadableSlideError where there is no single one."""
        n = dict(zip(self._axes, shape, strict=True))
        if n.get("t", 1) != 1 or n.get("c", 1) not in (1, 3, 4):
            raise UnreadableSlideError(
                f"{self.path.name} is not one image in grey or colour: its axes are {self._axes}, "
                f"{'x'.join(map(str, shape))}.",
                "Fluorescence and time series are not read.",
            )
        if z is None and n.get("z", 1) != 1:
            raise UnreadableSlideError(
                f"{self.path.name} is a stack of {n['z']} planes.",
                "Choose one: --z 0 is the first.",
            )
        if not 0 <= (z or 0) < n.get("z", 1):
            raise UnreadableSlideError(
                f"{self.path.name} has no plane {z}; it has {n.get('z', 1)}.", "The first is 0."
            )
        return z or 0

    def _white_level(self) -> float:
        dtype = np.dtype(self._levels[0].dtype)
        if dtype == np.uint8:
            return 255.0
        white = None
        if dtype.kind in "uf":
            width, height = self._sizes[-1]
            box = Box.at_origin(width=min(width, _SAMPLE_PX), height=min(height, _SAMPLE_PX))
            white = white_level(dtype.kind, float(self._pixels(len(self._sizes) - 1, box).max()))
        if white is None:
            raise UnreadableSlideError(
                f"{self.path.name}: its pixels are {dtype}.", "Expected 8 to 16 bits, or 0 to 1."
            )
        return white

    def read_level(self, level: int, box: Box) -> RgbImage:
        """Pixels of ``box`` (pixels of ``level``); outside is white."""
        width, height = self._sizes[level]
        return read_on_white(
            box,
            width=width,
            height=height,
            name=self.path.name,
            read=lambda part: to_rgb(self._pixels(level, part), self._white),
        )

    def _pixels(self, level: int, box: Box) -> np.ndarray[Any, Any]:
        """``(H, W, colours)`` as stored."""
        wanted: dict[str, Any] = {
            "t": 0, "c": slice(None), "z": self._z,
            "y": slice(box.y0, box.y1), "x": slice(box.x0, box.x1),
        }  # fmt: skip
        found = np.asarray(
            _in_time(self._levels[level].getitem(tuple(wanted[axis] for axis in self._axes)))
        )
        if "c" not in self._axes:
            return found[..., None]
        left = [axis for axis in self._axes if axis in "cyx"]
        return np.moveaxis(found, left.index("c"), -1)

    def expect_readers(self, n_threads: int) -> None:
        """See ``SlideReader``. Every region decodes its own chunks."""

    def close(self) -> None:
        """Nothing to release."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def _in_time(work: Coroutine[Any, Any, _T]) -> _T:
    """Wait for zarr, in an event loop of the caller's thread, and not for ever."""

    async def limited() -> _T:
        return await asyncio.wait_for(work, _PATIENCE_S)

    return asyncio.run(limited())


class _Image:
    """One image of a folder: its levels from the finest, and what its index says of them."""

    def __init__(self, levels: list[Any], axes: str, mpp: Mpp | None, scenes: tuple[str, ...]):
        self.levels, self.axes, self.mpp, self.scenes = levels, axes, mpp, scenes


async def _find_image(path: Path, scene: str | None) -> _Image:
    node = await zarr_async.open(store=str(path), mode="r")
    if isinstance(node, AsyncArray):
        return _Image([node], _plain_axes(path, node.shape), None, ())
    found = _multiscales(node)
    if not found:  # bioformats2raw writes one group per image, by number
        groups = sorted(
            [(name, group) async for name, group in node.groups() if _multiscales(group)],
            key=lambda pair: (len(pair[0]), pair[0]),
        )
        found = [(group, entry) for _, group in groups for _, entry in _multiscales(group)]
    scenes = scene_names([str(entry.get("name", "")) for _, entry in found])
    if not found or (scene is None and len(found) > 1):
        raise UnreadableSlideError(
            f"{path.name} holds {len(found)} images: {', '.join(scenes[:20]) or 'none'}.",
            "Choose one with --scene, or give the folder of one image.",
        )
    group, entry = found[0 if scene is None else find_scene(path, scenes, scene)]
    levels: list[Any] = [await group.getitem(str(one["path"])) for one in entry["datasets"]]
    axes, units = _axes(entry, levels[0].ndim)
    _refuse_foreign_channels(path, group)
    return _Image(levels, axes, _mpp(entry, axes, units), scenes)


def _multiscales(group: AsyncGroup) -> list[tuple[AsyncGroup, dict[str, Any]]]:
    """Version 0.5 keeps them below ``ome``, those before at the top."""
    attributes: dict[str, Any] = dict(group.attrs)
    ome = attributes.get("ome")
    entries = (ome if isinstance(ome, dict) else attributes).get("multiscales", [])
    return [(group, entry) for entry in entries if entry.get("datasets")]


def _axes(entry: dict[str, Any], n: int) -> tuple[str, tuple[str, ...]]:
    axes = entry.get("axes") or list(_AXES[-n:])
    named = [axis if isinstance(axis, dict) else {"name": axis} for axis in axes]
    names = "".join(str(axis["name"]) for axis in named)
    if len(names) != n or set(names) - set(_AXES) or not {"x", "y"} <= set(names):
        raise ValueError(f"its axes are {names}")
    return names, tuple(str(axis.get("unit", "")) for axis in named)


def _plain_axes(path: Path, shape: tuple[int, ...]) -> str:
    if len(shape) == 2:
        return "yx"
    if len(shape) == 3 and shape[2] in (1, 3, 4):
        return "yxc"
    if len(shape) == 3 and shape[0] in (1, 3, 4):
        return "cyx"
    raise UnreadableSlideError(
        f"{path.name} is an array of {'x'.join(map(str, shape))}.",
        "Expected (height, width) or (height, width, 3).",
    )


def _refuse_foreign_channels(path: Path, group: AsyncGroup) -> None:
    attributes: dict[str, Any] = dict(group.attrs)
    ome = attributes.get("ome")
    omero = (ome if isinstance(ome, dict) else attributes).get("omero") or {}
    names = [str(channel.get("label", "")) for channel in omero.get("channels", [])]
    foreign = [n for n in names if n and not n.isdigit() and n.lower() not in COLOUR_NAMES]
    if foreign and len(names) > 1:
        raise UnreadableSlideError(
            f"{path.name} has channels that are not red, green and blue: {', '.join(foreign[:4])}.",
            "Fluorescence is not read; H&E needs colours.",
        )


def _mpp(entry: dict[str, Any], axes: str, units: tuple[str, ...]) -> Mpp | None:
    """The scale of the finest level itself, times that of all levels."""
    scales = [
        one["scale"]
        for holder in (entry["datasets"][0], entry)
        for one in holder.get("coordinateTransformations") or []
        if one.get("type") == "scale"
    ]
    sides = []
    for axis in "xy":
        at = axes.index(axis)
        um = UM_PER_UNIT.get(units[at])
        if um is None or not scales:
            return None
        sides.append(um * math.prod(float(scale[at]) for scale in scales))
    return Mpp(*sides) if min(sides) > 0 and math.isfinite(sum(sides)) else None
