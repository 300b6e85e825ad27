"""Whole slide files through OpenSlide: svs, ndpi, mrxs, scn, bif, tiff, DICOM and more."""

from __future__ import annotations

import contextlib
import ctypes
import math
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

import cv2
import numpy as np
import openslide
from openslide.lowlevel import OpenSlideUnsupportedFormatError, _read_region

from hoverfast_platform.arrays import RgbImage
from hoverfast_platform.errors import (
    AbsentSlideError,
    MissingMppError,
    ShareUnavailableError,
    UnreadableSlideError,
)
from hoverfast_platform.file_system_errors import WHEN_AWAY
from hoverfast_platform.geometry import Box, Mpp
from hoverfast_platform.slide.formats import remedy_for
from hoverfast_platform.slide.reader import SlideInfo, check_plausible, check_tile

_SHOWN_PROPERTIES = (
    "openslide.vendor",
    "openslide.quickhash-1",
    "aperio.ScanScope ID",
    "aperio.Date",
    "hamamatsu.Product",
    "mirax.GENERAL.SLIDE_VERSION",
    "dicom.ManufacturerModelName",
)
"""Kept with the slide's record. Never the whole list: vendors write patient names there."""


_SIDES = ("width", "height")
_FEW_READERS = 2
"""So many get along with what OpenSlide keeps by itself, 32 MiB."""
_CACHE_BYTES_PER_READER = 48 * 2**20
"""Tiles of two rows of regions, 20,000 px wide: next to a region lie others that need them too."""


class _Reads:
    """The reads that go on, so that the slide is closed after the last of them.

    OpenSlide ends the whole process if a slide is closed under a read. A thread may still read when
    an interruption has come between its start and the moment from which its pool waits for it.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._n_reading = 0
        self._has_ended = False

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        with self._changed:
            if self._has_ended:
                raise ValueError("The slide is closed.")
            self._n_reading += 1
        try:
            yield
        finally:
            with self._changed:
                self._n_reading -= 1
                self._changed.notify_all()

    def end(self) -> None:
        with self._changed:
            self._has_ended = True
            self._changed.wait_for(lambda: self._n_reading == 0)


class OpenSlideReader:
    """A slide file opened by OpenSlide; see :class:`hoverfast_platform.slide.SlideReader`.

    OpenSlide handles may be read from several threads at once. After the first read error
    a handle answers every call with that error, so a failed slide stays failed until opened
    anew.
    """

    def __init__(self, path: Path, *, mpp_override: float | None = None) -> None:
        self.path = path
        self._slide = _open(path)
        self._drawn = threading.local()
        self._reads = _Reads()
        try:
            self.info = _describe(path, self._slide, mpp_override)
        except Exception:
            self._slide.close()
            raise

    def read_level(self, level: int, box: Box) -> RgbImage:
        """Pixels of ``box`` (pixels of ``level``, from the frame's origin); outside is white."""
        downsample_x, downsample_y = self.info.level_downsamples[level]
        origin_x, origin_y = self.info.origin_px
        # OpenSlide wants the corner in whole level-0 pixels.
        location = (
            origin_x + math.floor(box.x0 * downsample_x + 0.5),
            origin_y + math.floor(box.y0 * downsample_y + 0.5),
        )
        try:
            with self._reads.one():
                return self._pixels(self._slide, location, level, box)
        except openslide.OpenSlideError as error:
            if not self.path.exists():
                raise AbsentSlideError(
                    f"{self.path} went away while it was read.", "Put it back or mount its folder."
                ) from error
            if self._is_readable_anew(location, level, box):
                raise ShareUnavailableError(
                    f"{self.path} could not be read for a moment: {error}.", WHEN_AWAY
                ) from error
            raise UnreadableSlideError(
                f"{self.info.name}: level {level}, {box.width}x{box.height} px at "
                f"{location} cannot be read: {error}.",
                "The file is damaged there, usually by a broken copy; copy or scan it again.",
            ) from error

    def _is_readable_anew(self, location: tuple[int, int], level: int, box: Box) -> bool:
        """Whether the file is whole there: OpenSlide does not say why a read failed."""
        with contextlib.suppress(openslide.OpenSlideError, OSError):
            with openslide.OpenSlide(self.path) as anew:
                self._pixels(anew, location, level, box)
            return True
        return False

    def _pixels(
        self, slide: openslide.OpenSlide, location: tuple[int, int], level: int, box: Box
    ) -> RgbImage:
        """What OpenSlide draws, in memory that the thread uses again for its next region.

        OpenSlide-python's ``read_region`` would copy every region three times more, for the most
        part while no other thread can run.
        """
        drawn = getattr(self._drawn, "bgra", None)
        if drawn is None or drawn.shape != (box.height, box.width, 4):
            drawn = self._drawn.bgra = np.empty((box.height, box.width, 4), np.uint8)
        pointer = drawn.ctypes.data_as(ctypes.POINTER(ctypes.c_uint32))
        _read_region(slide._osr, pointer, *location, level, box.width, box.height)
        return compose_on_white(drawn)

    def expect_readers(self, n_threads: int) -> None:
        """Keep as many decoded tiles as so many threads share: their regions overlap."""
        if n_threads > _FEW_READERS:
            self._slide.set_cache(openslide.OpenSlideCache(n_threads * _CACHE_BYTES_PER_READER))

    def close(self) -> None:
        """Release the file, once no thread reads from it."""
        self._reads.end()
        self._slide.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def compose_on_white(bgra: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> RgbImage:
    """OpenSlide's drawing to ``(H, W, 3)``: what is not scanned is white, like glass.

    Args:
        bgra: ``(H, W, 4)``, colours premultiplied with alpha, as a little-endian machine has them.
    """
    if bgra.size and cv2.extractChannel(bgra, 3).min() == 255:  # a tenth of numpy's time
        return np.asarray(cv2.cvtColor(bgra, cv2.COLOR_BGRA2RGB), dtype=np.uint8)
    rgb: RgbImage = bgra[..., 2::-1] + (255 - bgra[..., 3:])
    return rgb


def _open(path: Path) -> openslide.OpenSlide:
    if not path.exists():
        raise AbsentSlideError(f"{path} does not exist.", "Check the path.")
    try:
        return openslide.OpenSlide(path)
    except OpenSlideUnsupportedFormatError as error:
        raise UnreadableSlideError(
            f"{path.name} is not a slide format that OpenSlide knows.",
            remedy_for(path.suffix)
            or "A flat image goes through `hoverfast infer_roi`; other formats can be converted to "
            "a pyramidal TIFF, for instance with `vips tiffsave --tile --pyramid`.",
        ) from error
    except (openslide.OpenSlideError, OSError) as error:
        raise UnreadableSlideError(
            f"{path.name} cannot be opened: {error}.",
            remedy_for(path.suffix)
            or "It is damaged or incomplete (MRXS needs its folder beside it); copy it again.",
        ) from error


def _describe(path: Path, slide: openslide.OpenSlide, mpp_override: float | None) -> SlideInfo:
    properties = slide.properties
    width, height = slide.dimensions
    bounds = _bounds(properties, width, height)
    mpp = Mpp(mpp_override, mpp_override) if mpp_override is not None else _mpp(path, properties)
    check_plausible(path, mpp)
    for level in range(slide.level_count):
        sides = (properties.get(f"openslide.level[{level}].tile-{s}", "0") for s in _SIDES)
        check_tile(path, 4 * math.prod(int(side) for side in sides))
    power: float | None = None
    with contextlib.suppress(ValueError, KeyError):  # shown only: an odd text must not fail
        power = float(properties[openslide.PROPERTY_NAME_OBJECTIVE_POWER])
    return SlideInfo(
        name=path.name,
        vendor=properties.get(openslide.PROPERTY_NAME_VENDOR, "unknown"),
        width=bounds.width,
        height=bounds.height,
        mpp=mpp,
        mpp_source="file" if mpp_override is None else "override",
        frame="full" if (bounds.width, bounds.height) == (width, height) else "bounds",
        origin_px=(bounds.x0, bounds.y0),
        level_downsamples=tuple((width / w, height / h) for w, h in slide.level_dimensions),
        level_sizes=tuple(slide.level_dimensions),
        objective_power=power,
        properties={key: properties[key] for key in _SHOWN_PROPERTIES if key in properties},
    )


def _bounds(properties: Mapping[str, str], width: int, height: int) -> Box:
    """The scanned part in full level-0 pixels; the whole slide where nothing is declared."""
    whole = Box.at_origin(width=width, height=height)
    try:
        x, y, w, h = (
            int(properties[f"openslide.bounds-{k}"]) for k in ("x", "y", "width", "height")
        )
    except (KeyError, ValueError):
        return whole
    bounds = Box.of(x=x, y=y, width=w, height=h).clipped(whole)
    return whole if bounds.is_empty else bounds


def _mpp(path: Path, properties: Mapping[str, str]) -> Mpp:
    try:
        return Mpp(
            float(properties[openslide.PROPERTY_NAME_MPP_X]),
            float(properties[openslide.PROPERTY_NAME_MPP_Y]),
        )
    except (KeyError, ValueError) as error:
        raise MissingMppError(
            f"{path.name} does not say how many micrometres a pixel has (no openslide.mpp-x and "
            "-y), and it is never guessed: areas would be wrong by an unknown factor.",
            "Look it up at the scanner and give it: --mpp 0.25 on the command line; in Dagster "
            f"materialize `slide_inventory` with the config mpp: {{{path.name}: 0.25}}. It is "
            "recorded as an override.",
        ) from error
