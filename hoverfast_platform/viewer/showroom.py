"""Open slides. Each is opened once; the one that nobody looked at for longest is closed."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from hoverfast_platform.errors import MaskError, SettingsError, SlideError, StorageError
from hoverfast_platform.files import file_sha256
from hoverfast_platform.review.export import write_review
from hoverfast_platform.review.log import ReviewLog
from hoverfast_platform.review.queue import FieldToReview, fields_to_review
from hoverfast_platform.review.state import Proposal, add_up
from hoverfast_platform.slide.digest import slide_digest
from hoverfast_platform.slide.open import open_slide
from hoverfast_platform.slide.reader import SlideInfo
from hoverfast_platform.storage.nuclei_lookup import Found, NucleiLookup, Place
from hoverfast_platform.storage.publish import changed_text
from hoverfast_platform.storage.summary import SegmentationSummary
from hoverfast_platform.storage.vector_tiles import EXTENT, encode_tile
from hoverfast_platform.viewer.colours import shade_index
from hoverfast_platform.viewer.density import DensityMap
from hoverfast_platform.viewer.library import Exhibit, Library, check_belongs
from hoverfast_platform.viewer.pixels import TILE_PX, SlidePictures, mask_picture

_OPEN_AT_ONCE = 4
_RELOAD_S = 10.0
_REACH_UM = 60.0
"""Most distance between a centroid and its outline: five times that of the largest nuclei."""

MOST_ZOOMED_OUT = 2
"""Coarsest zoom with outlines: a tile of a coarser one would hold too many to draw."""

_SAME_IOU = 0.5
BOTH, ONLY_HERE = 1, 2


@dataclass(frozen=True)
class Colouring:
    """By which measurement outlines are coloured, and what the ends of the scale are."""

    column: str
    low: float
    high: float


class OpenExhibit:
    """An exhibit whose files are open; everything is opened when it is first asked for."""

    def __init__(self, exhibit: Exhibit, review_folder: Path) -> None:
        self.exhibit = exhibit
        self._lock = threading.RLock()
        self._queues: dict[tuple[str, ...], tuple[FieldToReview, ...]] = {}
        identity = exhibit.key
        self.review_log = ReviewLog(review_folder / f"{exhibit.stem}.{identity}.edits.jsonl")
        self.review_path = review_folder / f"{exhibit.stem}.{identity}.geojson"

    @cached_property
    def pictures(self) -> SlidePictures:
        """The pictures of the slide.

        Raises:
            SlideError: If its file is away, damaged, or another one.
        """
        with self._lock:
            check_belongs(self.exhibit)
            assert self.exhibit.slide_path is not None
            return SlidePictures(open_slide(self.exhibit.slide_path, self.exhibit.scale))

    @cached_property
    def summary(self) -> SegmentationSummary | None:
        return self.exhibit.summary()

    @cached_property
    def slide_sha256(self) -> str:
        """Digest of the slide: the one that the result states, else that of the file."""
        if self.summary is not None:
            return self.summary.provenance.slide.sha256
        assert self.exhibit.slide_path is not None, "a slide alone has a file"
        return self.exhibit.slide_sha256 or slide_digest(self.exhibit.slide_path)

    @property
    def size_px(self) -> tuple[int, int]:
        """(width, height), level-0 pixels; a result knows it even where the slide is away."""
        if self.summary is not None:
            return self.summary.provenance.slide.width_px, self.summary.provenance.slide.height_px
        info: SlideInfo = self.pictures.reader.info
        return info.width, info.height

    @property
    def mpp(self) -> tuple[float, float]:
        """Micrometres per level-0 pixel, (x, y)."""
        if self.summary is not None:
            return self.summary.provenance.slide.mpp_x, self.summary.provenance.slide.mpp_y
        info: SlideInfo = self.pictures.reader.info
        return info.mpp.x, info.mpp.y

    @cached_property
    def lookup(self) -> NucleiLookup:
        """The nuclei.

        Raises:
            StorageError: If there is no result, or its table is gone.
        """
        path = self.exhibit.table_path
        if path is None:
            raise StorageError(f"{self.exhibit.name} has no nuclei yet.", "Segment it first.")
        return NucleiLookup(path, _REACH_UM / min(self.mpp))

    @cached_property
    def density(self) -> DensityMap:
        """The density of the nuclei, for zooms without outlines."""
        with self._lock:
            return DensityMap(self.lookup, *self.size_px, self.mpp[0])

    @cached_property
    def torn(self) -> str:
        """Why the nuclei are not those that were published; empty if they are, or it is unknown.

        Reads the whole table.
        """
        path = self.exhibit.table_path
        if self.summary is None or path is None:
            return ""
        wanted = self.summary.files.get(path.name)
        if wanted is None or (path.is_file() and file_sha256(path) == wanted):
            return ""
        assert self.exhibit.summary_path is not None, "what has a table has a summary"
        return changed_text(self.exhibit.summary_path, (path.name,))

    def prepare(self) -> None:
        """Make what the first view needs; a failure is shown later, when the view asks for it."""
        with contextlib.suppress(StorageError):
            _ = self.density

    def queue(self, others: Sequence[OpenExhibit]) -> tuple[FieldToReview, ...]:
        """Where to look first; also where other results of the slide disagree."""
        with self._lock:
            asked = tuple(other.exhibit.key for other in others)
            if asked not in self._queues:
                lookups = {other.exhibit.title: other.lookup for other in others}
                found = fields_to_review(self.lookup, self.size_px, self.mpp[0], others=lookups)
                self._queues = {asked: found}
            return self._queues[asked]

    def mask_png(self) -> bytes:
        """The tissue mask as a picture.

        Raises:
            MaskError: If nobody knows where it is.
        """
        if self.exhibit.mask_path is None:
            raise MaskError(f"No mask file of {self.exhibit.name} is known.", "")
        return mask_picture(self.exhibit.mask_path)

    def vector_tile(self, z: int, x: int, y: int, colouring: Colouring | None) -> bytes:
        """Outlines of a tile; coloured by a measurement, or plain.

        Raises:
            StorageError: If the zoom has none, or the table cannot be read.
        """
        found = self._of_tile(z, x, y, "" if colouring is None else colouring.column)
        values = np.zeros(len(found.rows), np.int64)
        if colouring is not None:
            column = found.nuclei.measurements[colouring.column]
            values = shade_index(column, colouring.low, colouring.high)
        return _encoded(found, values, z, x, y)

    def difference_tile(self, z: int, x: int, y: int, other: OpenExhibit) -> bytes:
        """Outlines of a tile: 1 where the other result has the same nucleus, 2 where it has not.

        Raises:
            StorageError: If the zoom has none, or a table cannot be read.
        """
        found = self._of_tile(z, x, y)
        values = compare_outlines(found, other._of_tile(z, x, y))
        return _encoded(found, values, z, x, y)

    def check_rows(self, proposal: Proposal) -> None:
        """Refuse an edit whose row numbers are not those of its nuclei.

        Raises:
            SettingsError: If the result was made anew, or a number belongs to another nucleus.
        """
        pairs = zip(proposal.rows, proposal.targets, strict=True)
        named = [(row, name) for row, name in pairs if row >= 0]
        if not named:
            return
        known = all(row < self.lookup.n_rows for row, _ in named)
        rows = np.array([row for row, _ in named], np.int64)
        if not known or self.lookup.ids(rows) != [name for _, name in named]:
            raise SettingsError(
                "A nucleus of this edit is not where the result has it.",
                "The result was made anew; reload the page.",
            )

    def save_review(self) -> int:
        """Write all edits in the format that ``hoverfast corrections`` takes."""
        lookup = None if self.exhibit.table_path is None else self.lookup
        made_from = None if self.summary is None else self.summary.provenance
        return write_review(
            self.review_path,
            add_up(self.review_log.edits()),
            lookup,
            slide_sha256=self.slide_sha256,
            segmentation_id="" if made_from is None else made_from.segmentation_id,
        )

    def _of_tile(self, z: int, x: int, y: int, column: str = "") -> Found:
        if not 0 <= z <= MOST_ZOOMED_OUT:
            raise StorageError(f"There are no outlines at zoom {z}, only up to 2.", "")
        side = TILE_PX << z
        place = Place(x * side, y * side, (x + 1) * side, (y + 1) * side)
        return self.lookup.within(place, column)


def compare_outlines(here: Found, there: Found) -> npt.NDArray[np.int64]:
    """``BOTH`` where the other result has the nucleus at an IoU >= 0.5; else ``ONLY_HERE``."""
    values = np.full(len(here.rows), ONLY_HERE, np.int64)
    if len(here.rows) and len(there.rows):
        mine, theirs = here.nuclei.polygons(), there.nuclei.polygons()
        i, j = shapely.STRtree(theirs).query(mine, predicate="intersects")
        shared = shapely.area(shapely.intersection(mine[i], theirs[j]))
        union = shapely.area(mine[i]) + shapely.area(theirs[j]) - shared
        values[i[shared >= _SAME_IOU * union]] = BOTH
    return values


def _encoded(found: Found, values: npt.NDArray[np.int64], z: int, x: int, y: int) -> bytes:
    side = TILE_PX << z
    units = (found.nuclei.vertices_xy - np.array([x * side, y * side])) * (EXTENT / side)
    return encode_tile(units, found.nuclei.ring_starts, found.rows, values)


class Showroom:
    """All exhibits, few of them open.

    Args:
        load: Returns what there is; it is called again, at most once in a few seconds.
        review_folder: Where corrections are written.
    """

    def __init__(self, load: Callable[[], Library], review_folder: Path) -> None:
        self._load = load
        self._loaded: Library | None = None
        self._loaded_at = 0.0
        self._loading = threading.Lock()
        self._review_folder = review_folder
        self._open: OrderedDict[tuple[str, int], OpenExhibit] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def library(self) -> Library:
        """All exhibits, as they were found a moment ago."""
        with self._loading:
            if self._loaded is None or time.monotonic() - self._loaded_at > _RELOAD_S:
                self._loaded = self._load()
                self._loaded_at = time.monotonic()
            return self._loaded

    def show(self, key: str) -> OpenExhibit:
        """An open exhibit. Tiles ask for it, so it does not look through the folders again.

        Raises:
            StorageError: If there is none of that key.
        """
        exhibit = self._known(key) or self.library.exhibit(key)
        with self._lock:
            identity = exhibit.key, _changed_at(exhibit)
            if identity not in self._open:
                self._open[identity] = OpenExhibit(exhibit, self._review_folder)
            self._open.move_to_end(identity)
            while len(self._open) > _OPEN_AT_ONCE:
                self._open.popitem(last=False)  # closed when its last request is answered
            return self._open[identity]

    def _known(self, key: str) -> Exhibit | None:
        """An exhibit of the library, as the last look through the folders found it."""
        loaded = self._loaded
        return None if loaded is None else loaded.find(key)

    def others(self, shown: OpenExhibit) -> tuple[Exhibit, ...]:
        """Other results of the same slide."""
        return tuple(
            other
            for other in self.library.exhibits
            if other.summary_path is not None
            and other.slide_sha256 == shown.exhibit.slide_sha256
            and other.key != shown.exhibit.key
        )

    def problem(self, shown: OpenExhibit) -> str:
        """Why the slide's pixels cannot be shown; empty if they can."""
        try:
            _ = shown.pictures
        except SlideError as error:
            return str(error)
        return ""


def _changed_at(exhibit: Exhibit) -> int:
    """When the result was made, so that one made anew is opened anew; 0 without a result."""
    try:
        return 0 if exhibit.summary_path is None else exhibit.summary_path.stat().st_mtime_ns
    except OSError as error:
        raise StorageError(f"The result of {exhibit.name} went away: {error}.", "") from error


def as_json(value: Any) -> Any:
    """Numbers that JSON does not have become null."""
    if isinstance(value, float) and not np.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: as_json(one) for key, one in value.items()}
    return value
