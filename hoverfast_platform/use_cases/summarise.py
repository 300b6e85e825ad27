"""Figures of results: per slide, per region that people drew, per class of nuclei."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hoverfast_platform.config import Staining
from hoverfast_platform.errors import SettingsError, StorageError
from hoverfast_platform.geometry import Mpp
from hoverfast_platform.mask.held_result import mask_of_result
from hoverfast_platform.mask.tissue_mask import TissueMask
from hoverfast_platform.neighbourhood.neighbour_table import read_neighbour_table
from hoverfast_platform.provenance import Provenance
from hoverfast_platform.regions.counting import NucleiColumns, RegionCounter
from hoverfast_platform.regions.reading import (
    SUFFIXES,
    RegionFrame,
    find_regions_file,
    read_regions,
)
from hoverfast_platform.regions.region_table import SlideFigures
from hoverfast_platform.storage.foreign_outlines import read_outlines
from hoverfast_platform.storage.imported_nuclei import import_nuclei
from hoverfast_platform.storage.nuclei_table import (
    DAMAGED_TABLE,
    PLACE_COLUMNS,
    read_table_metadata,
)
from hoverfast_platform.storage.publish import SUMMARY, TABLE
from hoverfast_platform.use_cases.outcome import Outcome, each


@dataclass(frozen=True)
class SummarisedSlide:
    """What was counted on one slide.

    Attributes:
        figures: Its rows of the table.
        notes: What a person should know of its regions and its mask.
    """

    figures: SlideFigures
    notes: tuple[str, ...]


SummaryOutcome: TypeAlias = Outcome[Path, SummarisedSlide]


@dataclass(frozen=True)
class _Names:
    """What a result is called among others.

    Attributes:
        shown: In tables and on the page; no two files have the same.
        of_slide: Stem of the file, with folders before it where results of several have that stem.
        stem: Stem of the file.
    """

    shown: str
    of_slide: str
    stem: str


@dataclass(frozen=True)
class _Result:
    """A result as it is counted; its name is the stem of its file."""

    name: str
    slide_sha256: str
    nuclei: NucleiColumns
    frame: RegionFrame
    tissue: TissueMask | None
    staining: Staining | None
    notes: tuple[str, ...]


def results_in(paths: Iterable[Path]) -> list[Path]:
    """The results that some paths stand for: files as they are, and every result of a folder.

    Raises:
        SettingsError: If a folder holds none.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if not path.is_dir():
            found[path] = None
            continue
        tables = [
            one.with_name(one.name.removesuffix(SUMMARY) + TABLE)
            for one in sorted(path.glob(f"*{SUMMARY}"))
        ]
        if not tables:
            raise SettingsError(
                f"{path} holds no results of slides.", "Give the -o folder of infer_wsi."
            )
        found.update(dict.fromkeys(tables))
    return list(found)


def summarise(
    results: Sequence[Path],
    *,
    regions: Path | None = None,
    mpp: float | None = None,
    with_neighbours: bool = False,
) -> Iterator[SummaryOutcome]:
    """Count the nuclei of results, in regions or on whole slides; one outcome per result, in order.

    No slide is needed. The tissue mask is the one that lies beside a result; nuclei that people
    corrected in QuPath or in the viewer are counted per class. A result is called by its stem;
    where several have the same one, as many folders before it as tell them apart are part of the
    name (``site-a/slide``), and files of one folder are called by their whole names.

    Args:
        results: ``.parquet`` of slides, or GeoJSON of nuclei.
        regions: GeoJSON of one slide's regions, or a folder with a file for each slide, named
            after it (``slide.geojson``, or ``site-a/slide.geojson``); None counts whole slides.
        mpp: Micrometres per level-0 pixel, for files that do not say it.
        with_neighbours: Whether the columns of ``<stem>.neighbours.parquet`` are added up too.
    """
    names = _distinct_names(results)

    def count(path: Path) -> SummarisedSlide:
        called = names[path]
        result = _read(path, mpp)
        if with_neighbours:
            result = _with_neighbours(path, result)
        counter = RegionCounter(result.nuclei, result.frame.mpp, result.tissue, result.staining)
        if regions is None:
            rows = tuple(counter.on_slide(result.frame))
            return SummarisedSlide(
                SlideFigures(called.shown, result.slide_sha256, rows), result.notes
            )
        wanted = dict.fromkeys((called.of_slide, called.stem))
        file = find_regions_file(regions, *wanted, is_only_slide=len(results) == 1)
        found = read_regions(file, result.frame, result.tissue)
        rows = tuple(row for region in found.regions for row in counter.in_region(region))
        figures = SlideFigures(called.shown, result.slide_sha256, rows)
        notes = (*result.notes, *found.notes, *_note_on_shared(file, regions, called))
        return SummarisedSlide(figures, notes)

    return each(results, count, record_failure=lambda _path, _error: None)


def _note_on_shared(file: Path, regions: Path, called: _Names) -> Iterator[str]:
    """Say it where results of several folders take one file of regions, by their common stem."""
    if called.of_slide != called.stem and file.parent == regions:
        yield (
            f"{called.shown}: {file.name} is taken for every result that is called {called.stem}; "
            f"for slides that differ, name the files {called.of_slide}.geojson and the like"
        )


def _distinct_names(results: Sequence[Path]) -> dict[Path, _Names]:
    """What each result is called, so that no two share a name."""
    with_stem: dict[str, list[Path]] = {}
    for path in results:
        with_stem.setdefault(_stem(path), []).append(path)
    names: dict[Path, _Names] = {}
    for stem, paths in with_stem.items():
        folders = {path: path.parent.resolve() for path in paths}
        in_folder = Counter(folders.values())
        depth = _depth_that_tells_apart(list(in_folder))
        for path, folder in folders.items():
            before = "/".join(folder.parts[len(folder.parts) - depth :])
            of_slide = f"{before}/{stem}" if before else stem
            shown = of_slide if in_folder[folder] == 1 else f"{before}/{path.name}".lstrip("/")
            names[path] = _Names(shown, of_slide, stem)
    return names


def _depth_that_tells_apart(folders: Sequence[Path]) -> int:
    """How many last parts of the folders' paths make them all different; 0 for one folder."""
    depth = 0
    while len({folder.parts[len(folder.parts) - depth :] for folder in folders}) < len(folders):
        depth += 1
    return depth


def _stem(path: Path) -> str:
    """The file's name without its ending, also of endings in two parts."""
    return next(
        (path.name.removesuffix(one) for one in (TABLE, *SUFFIXES) if path.name.endswith(one)),
        path.name,
    )


def _with_neighbours(path: Path, result: _Result) -> _Result:
    provenance = Provenance.found_in(read_table_metadata(path), path.name)
    identity = "" if provenance is None else provenance.segmentation_id
    measured = {**result.nuclei.measurements, **read_neighbour_table(path, identity)}
    return replace(result, nuclei=replace(result.nuclei, measurements=measured))


def _read(path: Path, mpp: float | None) -> _Result:
    if path.name.endswith(TABLE):
        return _read_table(path, mpp)
    if path.name.endswith(SUFFIXES):
        return _read_geojson(path, mpp)
    raise SettingsError(
        f"{path.name} is neither a .parquet of a result nor GeoJSON.",
        "Give the -o folder of infer_wsi, or files of it.",
    )


def _read_table(path: Path, mpp: float | None) -> _Result:
    try:
        table = _without_outlines(path)
        metadata = read_table_metadata(path)
    except DAMAGED_TABLE as error:
        raise StorageError(f"{path} is not a readable nuclei table: {error}.", "") from error
    measured = [name for name in table.column_names if name not in PLACE_COLUMNS]
    nuclei = NucleiColumns(
        np.stack([table["centroid_x"].to_numpy(), table["centroid_y"].to_numpy()], axis=1),
        {name: table[name].to_numpy() for name in measured},
    )
    return _result(path, _stem(path), nuclei, metadata, mpp)


def _without_outlines(path: Path) -> pa.Table:
    names = pq.read_schema(path).names
    return pq.read_table(path, columns=[name for name in names if name not in ("id", "geometry")])


def _read_geojson(path: Path, mpp: float | None) -> _Result:
    outlines = read_outlines(path)
    stated = outlines.members.get("provenance")
    metadata: dict[str, Any] = stated if isinstance(stated, dict) else {}
    is_ours = "segmentation_id" in metadata and "slide" in metadata
    scale = _scale(metadata, path, mpp)
    imported = import_nuclei(outlines, scale, is_ours=is_ours)
    found = imported.nuclei
    nuclei = NucleiColumns(found.centroid_xy, found.measurements, imported.class_names)
    result = _result(path, _stem(path), nuclei, metadata if is_ours else {}, mpp)
    n = imported.n_dropped
    dropped = (f"{path.name}: {n} outlines have no valid polygon",) if n else ()
    return _Result(**{**vars(result), "notes": (*result.notes, *imported.notes, *dropped)})


def _result(
    path: Path, name: str, nuclei: NucleiColumns, metadata: dict[str, Any], mpp: float | None
) -> _Result:
    provenance = Provenance.found_in(metadata, path.name)
    if provenance is None:
        frame = RegionFrame.unknown(name, _scale(metadata, path, mpp))
        note = f"{path.name} does not say its slide: areas of tissue are unknown"
        return _Result(name, "", nuclei, frame, None, None, (note,))
    tissue, notes = mask_of_result(path, provenance)
    staining = Staining.model_validate(provenance.settings.get("staining", {}))
    return _Result(
        name=name,
        slide_sha256=provenance.slide.sha256,
        nuclei=nuclei,
        frame=RegionFrame.of_source(provenance.slide, name),
        tissue=tissue,
        staining=staining if staining.stain == "ihc_dab" else None,
        notes=notes,
    )


def _scale(metadata: dict[str, Any], path: Path, mpp: float | None) -> Mpp:
    """The scale that the file states, else the one that was given.

    Raises:
        SettingsError: If neither says it.
    """
    provenance = Provenance.found_in(metadata, path.name)
    if provenance is not None:
        return provenance.slide.mpp
    known = metadata.get("mpp") or mpp
    if not known:
        raise SettingsError(
            f"{path.name} does not say its micrometres per pixel, without which there is no area.",
            "Give --mpp.",
        )
    return Mpp(float(known), float(known))
