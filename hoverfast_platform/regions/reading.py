"""Regions of a slide from GeoJSON, and whether they fit the slide.

What is read from the file, and how, is in ``storage.foreign_outlines``. Here its outlines become
regions: the parts of a multipolygon are one region, what is not a region is left out and said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from hoverfast_platform.errors import RegionError, StorageError
from hoverfast_platform.files import bytes_sha256
from hoverfast_platform.geometry import Mpp
from hoverfast_platform.mask.tissue_mask import TissueMask
from hoverfast_platform.provenance import SlideSource
from hoverfast_platform.slide.reader import SlideInfo
from hoverfast_platform.storage.foreign_outlines import ForeignOutlines, read_outlines
from hoverfast_platform.texts import clean

SUFFIXES = (".geojson", ".json", ".geojson.gz", ".json.gz", ".geojson.zip")
"""Endings of files of regions, in the order in which a folder is searched."""

_NUCLEI = {"detection", "pathdetectionobject", "cell", "pathcellobject"}
"""QuPath's words for objects that are not drawn as regions."""
_MIN_AREA_PX = 1.0
_BEYOND_ALL_SLIDES_PX = 100_000_000
_CHANGED_BY_REPAIR = 0.001
_BEYOND_FRAME = 0.001
_MAX_OVERLAPS_NAMED = 3


@dataclass(frozen=True)
class Region:
    """A place on a slide that a person drew.

    Attributes:
        number: Its place in the file, from 1.
        name: As the person called it; else its class and number.
        class_name: Its class; empty where it has none.
        geometry: Valid shapely polygon or multipolygon inside the slide, level-0 pixels.
        remarks: What a person should know before using its figures.
    """

    number: int
    name: str
    class_name: str
    geometry: Any
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class RegionFrame:
    """The slide on which regions lie: name, level-0 pixels and their scale."""

    slide_name: str
    width_px: int
    height_px: int
    mpp: Mpp

    @classmethod
    def of_slide(cls, info: SlideInfo) -> RegionFrame:
        """The frame of an open slide."""
        return cls(info.name, info.width, info.height, info.mpp)

    @classmethod
    def of_source(cls, slide: SlideSource, name: str) -> RegionFrame:
        """The frame of a slide of which only a result is there."""
        return cls(name, slide.width_px, slide.height_px, slide.mpp)

    @classmethod
    def unknown(cls, name: str, mpp: Mpp) -> RegionFrame:
        """The frame of a slide of which nobody said how large it is."""
        return cls(name, _BEYOND_ALL_SLIDES_PX, _BEYOND_ALL_SLIDES_PX, mpp)

    @property
    def is_known(self) -> bool:
        """Whether its size is known."""
        return self.width_px < _BEYOND_ALL_SLIDES_PX

    @property
    def box(self) -> Any:
        """The frame as a shapely polygon."""
        return shapely.box(0, 0, self.width_px, self.height_px)


@dataclass(frozen=True)
class SlideRegions:
    """The regions of one slide.

    Attributes:
        path: Their file.
        regions: In its order, at least one.
        notes: What a person should know: of the file and of each region.
    """

    path: Path
    regions: tuple[Region, ...]
    notes: tuple[str, ...]

    @property
    def union(self) -> Any:
        """All of them as one shapely geometry."""
        return shapely.union_all([region.geometry for region in self.regions])

    def digest(self) -> str:
        """SHA-256 of the places they cover, hex."""
        return bytes_sha256(shapely.to_wkb(shapely.normalize(self.union)))


def find_regions_file(source: Path, *names: str, is_only_slide: bool) -> Path:
    """The regions of a slide: a file that is given, or the one in a folder that has its name.

    Args:
        source: A file of GeoJSON, or a folder of ``<stem>.geojson`` or ``<name>.geojson``
            (``.json``, and either with ``.gz``, are taken too).
        names: What the slide is called, the usual name first: its stem, its file's name.
        is_only_slide: Whether the source is given for this slide alone.

    Raises:
        RegionError: If there is none, or one file is given for several slides.
    """
    if source.is_file():
        if not is_only_slide:
            raise RegionError(
                f"{source.name} is one file of regions, and is given for more than one slide.",
                "Regions lie at other places on every slide: give a folder with a file for each, "
                "named after the slide.",
            )
        return source
    if not source.is_dir():
        raise RegionError(f"There is no file or folder {source}.", "Check the path of the regions.")
    wanted = dict.fromkeys(f"{name}{suffix}" for suffix in SUFFIXES for name in names)
    for name in wanted:
        if (source / name).is_file():
            return source / name
    present = sorted(one.name for one in source.iterdir() if one.name.endswith(SUFFIXES))[:5]
    raise RegionError(
        f"No regions for {names[-1]} in {source}: looked for {', '.join(list(wanted)[:2])} and "
        f"the like; there are {', '.join(present) or 'no such files'}.",
        f"Name the file of this slide's regions {names[0]}.geojson.",
    )


def read_regions(path: Path, frame: RegionFrame, tissue: TissueMask | None = None) -> SlideRegions:
    """The regions in a file, valid and inside the slide.

    Detections, cells, points and lines in the file are left out. A region that crosses itself is
    repaired, one that reaches over the slide is cut at its edge, and both are said.

    Args:
        path: GeoJSON as QuPath exports it, in level-0 pixels.
        frame: The slide.
        tissue: The slide's mask where it is known: it tells micrometres from pixels for certain.

    Raises:
        RegionError: If the file cannot be read, holds no region, or its regions lie outside the
            slide or are in micrometres.
    """
    try:
        outlines = read_outlines(path, with_ignored=True)
    except StorageError as error:
        raise RegionError(error.message, error.remedy) from error
    is_nucleus = np.array([kind in _NUCLEI for kind in outlines.kinds], np.bool_)
    outlines = outlines.without(is_nucleus, "detection or cell")
    left_out = Counter(outlines.left_out)
    regions = [
        _region(number, outlines, parts)
        for number, parts in enumerate(_parts(outlines.objects), start=1)
    ]
    if not regions:
        raise RegionError(
            f"{path} holds no region: {_listed(left_out) or 'nothing'}.",
            "Regions are annotations with an area; select them in QuPath and use File > Export "
            "objects as GeoJSON.",
        )
    _refuse_outside(path, regions, frame)
    inside = _with_overlaps([_cut(region, frame) for region in regions])
    notes = [f"{path.name}: left out {_listed(left_out)}"] if left_out else []
    notes += _odd_name(path, frame) + _odd_place(path, inside, frame, tissue)
    notes += [f"region {one.name}: {text}" for one in inside for text in one.remarks]
    return SlideRegions(path, tuple(inside), tuple(notes))


def _parts(objects: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
    """Rows of the outlines of each object, in the order of the file."""
    return [np.flatnonzero(objects == one) for one in dict.fromkeys(objects.tolist())]


def _region(number: int, outlines: ForeignOutlines, rows: npt.NDArray[np.int64]) -> Region:
    polygons = outlines.polygons[rows]
    is_valid = shapely.is_valid(polygons)
    repaired = [
        polygon if valid else _only_areas(shapely.make_valid(polygon, method="structure"))
        for polygon, valid in zip(polygons, is_valid, strict=True)
    ]
    geometry = repaired[0] if len(repaired) == 1 else shapely.union_all(repaired)
    remarks: tuple[str, ...] = ()
    if not is_valid.all():
        remarks = ("its outline crosses or touches itself and was repaired; check its area",)
    class_name = clean(str(outlines.class_names[rows[0]]))
    name = clean(str(outlines.names[rows[0]])) or f"{class_name or 'region'} {number}"
    return Region(number, name, class_name, geometry, remarks)


def _only_areas(geometry: Any) -> Any:
    """A repaired outline without the lines that it fell into."""
    parts = [one for one in shapely.get_parts(geometry) if one.geom_type.endswith("Polygon")]
    return shapely.union_all(parts)


def _refuse_outside(path: Path, regions: Iterable[Region], frame: RegionFrame) -> None:
    areas = [shapely.area(shapely.intersection(one.geometry, frame.box)) for one in regions]
    if max(areas) >= _MIN_AREA_PX:
        return
    raise RegionError(
        f"All regions of {path.name} lie outside {frame.slide_name}, which has "
        f"{frame.width_px}x{frame.height_px} px, or have no area.",
        "They belong to another slide, to another level of it, or are in micrometres. Export them "
        "from this slide in QuPath, in pixels.",
    )


def _cut(region: Region, frame: RegionFrame) -> Region:
    """The region inside the slide's frame."""
    cut = _only_areas(shapely.intersection(region.geometry, frame.box))
    before, after = shapely.area(region.geometry), shapely.area(cut)
    remarks = region.remarks
    if after < _MIN_AREA_PX:
        remarks = (*remarks, "it lies outside the slide or has no area, so nothing is in it")
    elif after < before * (1 - _BEYOND_FRAME):
        remarks = (*remarks, f"{1 - after / before:.1%} of it lies outside the slide and was cut")
    return replace(region, geometry=cut, remarks=remarks)


def _with_overlaps(regions: list[Region]) -> list[Region]:
    """Regions that say with which others they share an area."""
    geometries = np.array([region.geometry for region in regions], np.object_)
    left, right = shapely.STRtree(geometries).query(geometries, predicate="intersects")
    is_other = left != right
    left, right = left[is_other], right[is_other]
    shared = shapely.area(shapely.intersection(geometries[left], geometries[right]))
    left, right = left[shared > _MIN_AREA_PX], right[shared > _MIN_AREA_PX]
    marked = []
    for i, region in enumerate(regions):
        names = [regions[j].name for j in sorted(right[left == i])]
        if names:
            more = f" and {len(names) - _MAX_OVERLAPS_NAMED} others"
            named = ", ".join(names[:_MAX_OVERLAPS_NAMED]) + more * (len(names) > 3)
            text = f"it overlaps {named}; nuclei in both are counted in each"
            marked.append(replace(region, remarks=(*region.remarks, text)))
        else:
            marked.append(region)
    return marked


def _odd_name(path: Path, frame: RegionFrame) -> list[str]:
    stem = Path(frame.slide_name).stem
    if stem.lower() in path.name.lower():
        return []
    return [f"{path.name} is not named after {frame.slide_name}; check that it belongs to it"]


def _odd_place(
    path: Path, regions: list[Region], frame: RegionFrame, tissue: TissueMask | None
) -> list[str]:
    """A note where coordinates may be micrometres.

    Raises:
        RegionError: If the tissue says that they are.
    """
    union = shapely.union_all([region.geometry for region in regions])
    right, bottom = union.bounds[2:]
    mpp = frame.mpp
    is_in_corner = frame.is_known and (
        mpp.x < 1 and right <= frame.width_px * mpp.x and bottom <= frame.height_px * mpp.y
    )
    area = None if tissue is None else tissue.area_within_mm2(union)
    if is_in_corner and tissue is not None and not area:
        as_pixels = shapely.transform(union, lambda xy: xy / (mpp.x, mpp.y))
        if tissue.area_within_mm2(as_pixels):
            raise RegionError(
                f"The regions of {path.name} lie in the top left corner of {frame.slide_name}, "
                "where there is no tissue, and would lie on tissue if they were micrometres.",
                "Export them in pixels, as QuPath does.",
            )
    notes = []
    if is_in_corner:
        notes.append(
            f"all regions of {path.name} lie in the top left {mpp.mean:.0%} of the slide's width "
            "and height; if they do not belong there, their coordinates are micrometres"
        )
    if area == 0:
        notes.append(f"the regions of {path.name} hold no usable tissue")
    return notes


def _listed(left_out: Counter[str]) -> str:
    return ", ".join(f"{n} x {what}" for what, n in sorted(left_out.items()))
