"""TIFF slides that OpenSlide does not read, or reads wrongly, through tifffile.

Classic big-endian files, OME-TIFF (planes apart, levels in SubIFDs, scale in its XML), QPTIFF,
tiles in zstd or of 10 to 16 bits or of floating point numbers.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any, BinaryIO, Self
from xml.etree import ElementTree

import numpy as np
import tifffile

from hoverfast_platform.arrays import RgbImage
from hoverfast_platform.bit_depth import white_level
from hoverfast_platform.errors import HoverFastError, MissingMppError, UnreadableSlideError
from hoverfast_platform.geometry import Box, Mpp
from hoverfast_platform.slide.colours import COLOUR_NAMES, UM_PER_UNIT, to_rgb
from hoverfast_platform.slide.completeness import TIFF_DAMAGE
from hoverfast_platform.slide.reader import GREY_NOTE, SlideInfo, check_plausible
from hoverfast_platform.slide.scenes import find_scene, scene_names
from hoverfast_platform.slide.tiff_tiles import TiffTiles
from hoverfast_platform.slide.white_ground import read_on_white

_ASIDE = re.compile(r"label|macro|thumbnail|overview", re.IGNORECASE)
_RGB_AXES = frozenset({"YXS", "YXC", "CYX", "SYX", "YX"})
_SAMPLE_PX = 2048
_APERIO_MPP = re.compile(r"\|\s*MPP\s*=\s*(\d+(?:[.,]\d+)?)")


class TiffReader:
    """A TIFF opened by tifffile; see :class:`hoverfast_platform.slide.SlideReader`.

    Args:
        path: The file, or where ``file`` is given, its name.
        mpp_override: Instead of the scale that it says.
        scene: Name or number of the image; None: the largest.
        file: An open file to read instead, for instance one at a remote place.

    Raises:
        UnreadableSlideError: If it is not a TIFF in grey or colour with one image of one plane.
        MissingMppError: If it does not say its scale and none is given.
        SettingsError: If it has no scene of that name.
    """

    def __init__(
        self,
        path: Path,
        *,
        mpp_override: float | None = None,
        scene: str | None = None,
        file: BinaryIO | None = None,
    ) -> None:
        self.path = path
        try:
            self._file = tifffile.TiffFile(file or path)
        except TIFF_DAMAGE as error:
            raise UnreadableSlideError(f"{path.name} is not a readable TIFF: {error}.") from error
        # Without it tifffile's lock locks nothing, and one thread reads where another one sought.
        self._file.filehandle.set_lock(True)
        try:
            self._open(mpp_override, scene)
        except HoverFastError:
            self._file.close()
            raise
        except TIFF_DAMAGE as error:
            self._file.close()
            raise UnreadableSlideError(
                f"{path.name}: its TIFF directory cannot be read ({type(error).__name__}).",
                "The file is damaged or incomplete; copy it again.",
            ) from error

    def _open(self, mpp_override: float | None, scene: str | None) -> None:
        all_series = list(self._file.series)
        candidates = [one for one in all_series if not _ASIDE.search(one.name or "")] or all_series
        scenes = scene_names([one.name or "" for one in candidates])
        largest = max(range(len(candidates)), key=lambda i: math.prod(candidates[i].shape))
        series = candidates[largest if scene is None else find_scene(self.path, scenes, scene)]
        self._axes = _axes(self.path, series)
        self._levels = [TiffTiles(self.path, level, self._axes) for level in series.levels]
        sizes = tuple((level.width, level.height) for level in self._levels)
        width, height = sizes[0]
        mpp = (
            Mpp(mpp_override, mpp_override) if mpp_override else _mpp(self._file, self.path, series)
        )
        check_plausible(self.path, mpp)
        self._white = self._white_level(series)
        self.info = SlideInfo(
            name=self.path.name,
            vendor=f"tiff ({series.kind})",
            width=width,
            height=height,
            mpp=mpp,
            mpp_source="override" if mpp_override else "file",
            level_downsamples=tuple((width / w, height / h) for w, h in sizes),
            level_sizes=sizes,
            notes=self._notes(series, candidates, is_chosen=scene is not None),
            scenes=scenes,
        )

    def _notes(self, series: Any, candidates: list[Any], *, is_chosen: bool) -> tuple[str, ...]:
        notes: list[str] = []
        if self._axes == "YX":
            notes.append(GREY_NOTE)
        elif self._axes[0] in "CS":
            notes.append("Its three planes were read as red, green and blue.")
        if self._white != 255:
            notes.append(f"Its values were scaled: {self._white:g} is white.")
        others = [one.name or "without a name" for one in candidates if one is not series]
        if others and not is_chosen:
            notes.append(
                f"The file holds {len(candidates)} images; {series.name or 'the largest'} was "
                f"read, and not {', '.join(others[:5])}. For another: hoverfast slide extract."
            )
        return tuple(notes)

    def _white_level(self, series: Any) -> float:
        """The brightest value there can be: by the file's own word, else by its values."""
        dtype = self._levels[0].dtype
        if dtype == np.uint8:
            return 255.0
        if dtype.kind not in "uf":
            raise UnreadableSlideError(
                f"{self.path.name}: its pixels are {dtype}.", "Expected 8 to 16 bits, or 0 to 1."
            )
        stated = re.search(r'SignificantBits="(\d+)"', self._file.ome_metadata or "")
        if stated and dtype.kind == "u":
            return float(2 ** int(stated.group(1)) - 1)
        top = self._brightest()
        white = white_level(dtype.kind, top)
        if white is None:
            raise UnreadableSlideError(
                f"{self.path.name}: its brightest value is {top:g}.", "Expected 16 bits, or 0 to 1."
            )
        return white

    def _brightest(self) -> float:
        """Read the coarsest level, or a part of it where it is large."""
        coarsest = self._levels[-1]
        part = coarsest.read(
            Box.at_origin(
                width=min(_SAMPLE_PX, coarsest.width), height=min(_SAMPLE_PX, coarsest.height)
            )
        )
        return float(part.max(initial=0))

    def read_level(self, level: int, box: Box) -> RgbImage:
        """Pixels of ``box`` (pixels of ``level``); outside is white."""
        tiles = self._levels[level]
        return read_on_white(
            box,
            width=tiles.width,
            height=tiles.height,
            name=self.info.name,
            read=lambda part: to_rgb(tiles.read(part), self._white),
        )

    def expect_readers(self, n_threads: int) -> None:
        """See ``SlideReader``. Every region decodes its own tiles."""

    def close(self) -> None:
        """Release the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def is_better_read_by_tifffile(path: Path) -> bool:
    """Whether OpenSlide would take the first plane of several for the whole, or 16 bits for 8."""
    try:
        with tifffile.TiffFile(path) as file:
            page = file.pages.first
            series = file.series[0]
            is_planar = page.planarconfig == 2 and page.samplesperpixel > 1
            has_more = series.is_pyramidal and bool(page.subifds)
            return is_planar or series.axes[:1] in {"C", "S"} or page.bitspersample > 8 or has_more
    except TIFF_DAMAGE:
        return False  # OpenSlide has opened it: what tifffile makes of it does not matter


def _axes(path: Path, series: Any) -> str:
    axes = str(series.axes)
    n_samples = series.shape[axes.index("S")] if "S" in axes else 1
    if "C" in axes:
        n_samples = series.shape[axes.index("C")]
    if axes not in _RGB_AXES or (axes != "YX" and n_samples not in (1, 3, 4)):
        raise UnreadableSlideError(
            f"{path.name} is not one image in grey or colour: its axes are {axes}, "
            f"{'x'.join(map(str, series.shape))}.",
            "Export one plane, one time and the three colours as an RGB TIFF.",
        )
    names = re.findall(r"<Channel [^>]*Name=\"([^\"]*)\"", series.parent.ome_metadata or "")
    foreign = [name for name in names if name.lower() not in COLOUR_NAMES]
    if axes == "CYX" and foreign:
        raise UnreadableSlideError(
            f"{path.name} has {n_samples} channels that are not red, green and blue: "
            f"{', '.join(foreign[:4])}.",
            "Fluorescence is not read; H&E needs colours.",
        )
    return axes


def _mpp(file: Any, path: Path, series: Any) -> Mpp:
    """By the OME-XML, else by Aperio's words, else by the resolution of the first page."""
    number = list(file.series).index(series)
    page = series.keyframe
    found = _ome_mpp(file.ome_metadata, number) or _aperio_mpp(page) or _tag_mpp(page)
    if found is None:
        raise MissingMppError(
            f"{path.name} does not say how many micrometres a pixel has (no PhysicalSizeX and -Y "
            "in OME-XML, no MPP of Aperio, no resolution in its tags), and it is never guessed.",
            "Look it up at the scanner and give it: --mpp 0.25 on the command line; in Dagster "
            f"materialize `slide_inventory` with the config mpp: {{{path.name}: 0.25}}. It is "
            "recorded as an override.",
        )
    return found


def _ome_mpp(xml: str | None, index: int) -> Mpp | None:
    if not xml:
        return None
    try:
        all_pixels = [e for e in ElementTree.fromstring(xml).iter() if e.tag.endswith("Pixels")]
        pixels = all_pixels[index if index < len(all_pixels) else 0]
        x, y = (
            float(pixels.attrib[f"PhysicalSize{axis}"])
            * UM_PER_UNIT[pixels.attrib.get(f"PhysicalSize{axis}Unit", "µm")]
            for axis in "XY"
        )
    except (ElementTree.ParseError, KeyError, ValueError, IndexError):
        return None
    return Mpp(x, y) if x > 0 and y > 0 and math.isfinite(x * y) else None


def _aperio_mpp(page: Any) -> Mpp | None:
    """Where the file is not here, OpenSlide cannot read it."""
    said = page.description if page.description.startswith("Aperio") else ""
    number = _APERIO_MPP.search(said)
    mpp = float(number.group(1).replace(",", ".")) if number else 0.0
    return Mpp(mpp, mpp) if mpp > 0 else None


def _tag_mpp(page: Any) -> Mpp | None:
    um_per_unit = {2: 25_400.0, 3: 10_000.0}
    try:
        unit = um_per_unit[int(page.tags["ResolutionUnit"].value)]
        x, y = (
            unit * page.tags[name].value[1] / page.tags[name].value[0]
            for name in ("XResolution", "YResolution")
        )
    except (KeyError, ZeroDivisionError, TypeError, IndexError):
        return None
    # 72 and 96 dots per inch are what programs write that know no scale.
    return Mpp(x, y) if 0 < x < 50 and 0 < y < 50 else None
