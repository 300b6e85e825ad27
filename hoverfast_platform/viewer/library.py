"""Which slides and results can be seen, and where their files are.

A browser only ever names a result by its key here, so no address can lead to another file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from hoverfast_platform.catalogue import Catalogue, FailureRecord, KnownSlide
from hoverfast_platform.catalogue.database import CATALOGUE_NAME
from hoverfast_platform.checks.policy import CheckPolicy, read_policy
from hoverfast_platform.config import Scale
from hoverfast_platform.errors import HoverFastError, SlideError, StorageError
from hoverfast_platform.files import bytes_sha256
from hoverfast_platform.slide.digest import slide_digest
from hoverfast_platform.slide.open import open_slide
from hoverfast_platform.storage.publish import MASK, SUMMARY, TABLE
from hoverfast_platform.storage.summary import SegmentationSummary

_SLIDE_ENDINGS = (
    *(".svs", ".ndpi", ".mrxs", ".scn", ".bif", ".tif", ".tiff", ".dcm"),
    *(".vms", ".vmu", ".svslide", ".zvi", ".czi"),
)


@dataclass(frozen=True)
class Exhibit:
    """A slide, with a result of it where there is one.

    Attributes:
        key: What addresses name it by; made of the result's place, so that it stays the same.
        name: Its name for people: the slide's file name, or its result's stem.
        slide_path: File of the slide; None where nobody knows where it is.
        mpp_override: Micrometres per pixel that a person gave.
        summary_path: Summary of the result; None for a slide alone.
        mask_path: File of its tissue mask: beside the result, else the catalogue's.
        slide_sha256: Digest of the slide, where known.
        slide_key: Its key in the catalogue, which is its partition in Dagster; else empty.
        title: Which of the slide's results it is: model and folder.
    """

    key: str
    name: str
    slide_path: Path | None
    mpp_override: float | None = None
    summary_path: Path | None = None
    mask_path: Path | None = None
    slide_sha256: str = ""
    slide_key: str = ""
    title: str = ""

    @property
    def stem(self) -> str:
        """The stem of the result's files, or of the slide where there is no result."""
        if self.summary_path is not None:
            return self.summary_path.name.removesuffix(SUMMARY)
        return Path(self.name).stem

    @property
    def table_path(self) -> Path | None:
        """The nuclei table."""
        if self.summary_path is None:
            return None
        return self.summary_path.with_name(f"{self.stem}{TABLE}")

    def summary(self) -> SegmentationSummary | None:
        """What was found; None for a slide alone.

        Raises:
            StorageError: If its file is gone or damaged.
        """
        return None if self.summary_path is None else SegmentationSummary.read(self.summary_path)

    @property
    def scale(self) -> Scale:
        return Scale(mpp_override=self.mpp_override)


@dataclass(frozen=True)
class Library:
    """Everything that can be seen.

    Attributes:
        root: Folder of results, artefacts or slides that was opened.
        exhibits: Slides and results, in order of name.
        failures: What the catalogue says failed, newest first.
        policy: When a result counts as odd: `checks.json` in the folder, as in Dagster.
        catalogue: Where it is; None where there is none.
    """

    root: Path
    exhibits: tuple[Exhibit, ...]
    failures: tuple[FailureRecord, ...] = ()
    policy: CheckPolicy = field(default_factory=CheckPolicy)
    catalogue: Path | str | None = None

    def find(self, key: str) -> Exhibit | None:
        """Find one by its key, or by its slide's key in the catalogue; None if there is none."""
        for exhibit in self.exhibits:
            if key in (exhibit.key, exhibit.slide_key):
                return exhibit
        return None

    def exhibit(self, key: str) -> Exhibit:
        """What :meth:`find` finds.

        Raises:
            StorageError: If there is none.
        """
        found = self.find(key)
        if found is not None:
            return found
        raise StorageError(f"There is nothing with the key {key!r} here.", "Reload the list.")


def open_library(
    path: Path,
    *,
    slide_folders: Sequence[Path] = (),
    mpp: float | None = None,
    may_be_empty: bool = False,
    catalogue: Path | str | None = None,
) -> Library:
    """Find what a folder of results, an artefact folder, a folder of slides or a slide offers.

    Args:
        path: The folder, or one slide file.
        slide_folders: Where slides may lie that the catalogue does not know or that have moved;
            a file is taken where its name and its digest fit.
        mpp: Micrometres per pixel of slides that do not say it.
        may_be_empty: Whether a folder with nothing to see is accepted, since something may come.
        catalogue: SQLite file or PostgreSQL URL; None: the one in the folder, if there is one.

    Raises:
        StorageError: If there is neither a result nor a slide.
    """
    if path.is_file():
        return Library(path.parent, (_slide_alone(path, path.parent, mpp),))
    location = catalogue or path / CATALOGUE_NAME
    known, failures = _catalogued(location)
    results = [
        _of_summary(summary, path, known, slide_folders, mpp)
        for summary in sorted(path.rglob(f"*{SUMMARY}"))
        if not any(part.startswith(".") for part in summary.relative_to(path).parts)
    ]
    shown = {exhibit.slide_sha256 for exhibit in results}
    alone = [
        replace(
            _slide_alone(Path(slide.path), path, slide.mpp_override),
            slide_key=slide.key,
            mask_path=mask,
        )
        for slide, mask in known.values()
        if slide.sha256 not in shown and not slide.is_replaced
    ]
    if not known and not results:
        alone = [_slide_alone(file, path, mpp) for file in _slide_files(path)]
    if not results and not alone and not may_be_empty:
        raise StorageError(
            f"{path} holds no result and no slide.",
            "Give a folder in which `hoverfast infer_wsi` wrote, the platform's artefact folder, "
            "a folder of slides, or one slide.",
        )
    exhibits = sorted([*results, *alone], key=lambda exhibit: (exhibit.name, exhibit.title))
    policy, is_there = read_policy(path / "checks.json"), _is_there(location)
    return Library(path, tuple(exhibits), failures, policy, location if is_there else None)


def _slide_files(folder: Path) -> Iterator[Path]:
    return (p for p in sorted(folder.iterdir()) if p.suffix.lower() in _SLIDE_ENDINGS)


def _slide_alone(path: Path, root: Path, mpp: float | None) -> Exhibit:
    return Exhibit(_key(path, root), path.name, path, mpp_override=mpp)


def _key(path: Path, root: Path) -> str:
    inside = path.relative_to(root) if path.is_relative_to(root) else path
    return bytes_sha256(os.fsencode(inside))[:12]


def _is_there(location: Path | str) -> bool:
    """Opening a file that is not there would make one."""
    return not isinstance(location, Path) or location.exists()


def _catalogued(
    location: Path | str,
) -> tuple[dict[str, tuple[KnownSlide, Path | None]], tuple[FailureRecord, ...]]:
    """Slides by digest with their newest mask, and failures; nothing without a catalogue."""
    if not _is_there(location):
        return {}, ()
    with Catalogue.open(location) as catalogue:
        known = {}
        for slide in catalogue.slides.all():
            masks = [Path(mask.path) for mask in catalogue.slides.masks(slide.key)]
            mask = next((mask for mask in masks if mask.is_file()), None)
            known[slide.sha256] = (slide, mask)
        return known, catalogue.results.failures()


def _of_summary(
    path: Path,
    root: Path,
    known: dict[str, tuple[KnownSlide, Path | None]],
    slide_folders: Sequence[Path],
    mpp: float | None,
) -> Exhibit:
    stem = path.name.removesuffix(SUMMARY)
    exhibit = Exhibit(_key(path, root), stem, None, mpp, path)
    try:
        made_from = SegmentationSummary.read(path).provenance
    except StorageError as error:
        return replace(exhibit, title=str(error))
    sha256 = made_from.slide.sha256
    slide, mask = known.get(sha256, (None, None))
    beside = path.with_name(f"{stem}{MASK}")
    where = str(path.parent.relative_to(root))
    title = f"{made_from.model.name} {made_from.model.version}"
    exhibit = replace(
        exhibit,
        slide_sha256=sha256,
        mask_path=beside if beside.is_file() else mask,
        title=title if where == "." else f"{title}, {where}",
        mpp_override=made_from.slide.mpp_x if made_from.slide.mpp_source == "override" else None,
    )
    if slide is not None:
        exhibit = replace(exhibit, name=slide.name, slide_key=slide.key)
        if Path(slide.path).exists():
            return replace(exhibit, slide_path=Path(slide.path))
    found = _moved(exhibit.name, stem, sha256, slide_folders)
    if found is None:
        return exhibit
    return replace(exhibit, slide_path=found, name=found.name)


def _moved(name: str, stem: str, sha256: str, folders: Sequence[Path]) -> Path | None:
    """The slide in a folder that has the name and the digest."""
    for folder in folders:
        for path in _slide_files(folder):
            if path.name == name or path.stem == stem or stem.startswith(f"{path.stem}."):
                try:
                    status = path.stat()
                    if _digest(path, status.st_size, status.st_mtime_ns) == sha256:
                        return path
                except (OSError, HoverFastError):
                    continue  # another file of that name, which cannot be read
    return None


@lru_cache(maxsize=4096)
def _digest(path: Path, _size: int, _mtime_ns: int) -> str:
    """Digest of a slide, computed again only once it changed: the library is often read anew."""
    return slide_digest(path)


def check_belongs(exhibit: Exhibit) -> None:
    """Refuse a slide file that cannot be the one that the result was made from.

    Raises:
        SlideError: If there is no file, or its size or scale is another one's.
    """
    if exhibit.slide_path is None:
        raise SlideError(
            f"Nobody knows where the slide of {exhibit.name} lies.",
            "Start the viewer with --slides and the folder that it lies in.",
        )
    summary = exhibit.summary()
    if summary is None:
        return
    made_from = summary.provenance
    with open_slide(exhibit.slide_path, exhibit.scale) as reader:
        info = reader.info
    if (info.width, info.height) != (made_from.slide.width_px, made_from.slide.height_px):
        raise SlideError(
            f"{exhibit.name} has {info.width}x{info.height} px; the result was made from a slide "
            f"of {made_from.slide.width_px}x{made_from.slide.height_px} px.",
            "The file was replaced. Segment it again.",
        )
