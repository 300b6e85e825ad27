"""Is all of a slide there? A stalled copy often opens, and fails hours later at a missing tile."""

from __future__ import annotations

import configparser
import struct
from collections.abc import Iterable
from pathlib import Path

import openslide
import tifffile

from hoverfast_platform.access_errors import is_there
from hoverfast_platform.errors import AbsentSlideError, IncompleteSlideError, UnreadableSlideError
from hoverfast_platform.slide.digest import slide_files
from hoverfast_platform.slide.offline import refuse_offline
from hoverfast_platform.stand_ins import refuse_stand_in

TIFF_DAMAGE: tuple[type[Exception], ...] = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    MemoryError,  # a directory that announces billions of entries
    struct.error,
    tifffile.TiffFileError,
)
"""What tifffile raises where a directory is cut off or damaged; found by damaging some."""

_MAX_DIGITS = 4
"""A slide has some dozen files of pixels."""
_COPY_AGAIN = "Wait until the copy is finished, or copy it again; it is taken up by itself then."


def check_complete(path: Path) -> None:
    """Pass if every file and every byte that the slide's own index speaks of is there.

    Raises:
        IncompleteSlideError: Naming what is missing.
        UnreadableSlideError: If a folder holds several DICOM series.
    """
    check_is_file(path)
    if path.stat().st_size == 0:
        raise IncompleteSlideError(f"{path.name} is empty.", _COPY_AGAIN)
    refuse_offline(path)
    refuse_stand_in(path, "a slide", IncompleteSlideError)
    suffix = path.suffix.lower()
    if suffix == ".mrxs":
        _check_files(path, _mrxs_files(path))
    elif suffix in {".vms", ".vmu"}:
        _check_files(path, _hamamatsu_files(path))
    elif suffix == ".dcm":
        _check_one_series(path)
    else:
        _check_tiff(path)


def check_is_file(path: Path) -> None:
    """Pass if there is a file that may be read: a pipe would be waited for without end.

    Raises:
        AbsentSlideError: If there is nothing.
        UnreadableSlideError: If it is a folder, a pipe or a device, or may not be read.
    """
    try:
        _check_is_file(path)
        path.open("rb").close()
    except UnreadableSlideError:  # is an OSError, too
        raise
    except OSError as error:
        raise UnreadableSlideError(
            f"{path} cannot be read: {error.strerror}.",
            "Usually it or its folder belongs to another user: ask for the right to read it. "
            "On a network drive, look whether it is there.",
        ) from error


def _check_is_file(path: Path) -> None:
    if not is_there(path):
        raise AbsentSlideError(f"{path} does not exist.", "Check the path.")
    if not path.is_file():
        what = "a folder" if path.is_dir() else "a pipe or a device"
        remedy = "Give the file itself."
        if path.suffix.lower() == ".zarr":
            remedy = "Make a slide of it: hoverfast slide extract FOLDER.zarr SLIDE.tiff."
        raise UnreadableSlideError(f"{path} is {what}, not a slide file.", remedy)


def _check_files(path: Path, expected: Iterable[Path]) -> None:
    files = list(expected)
    missing = [file.name for file in files if not _is_there(file)]
    if missing:
        raise IncompleteSlideError(
            f"{path.name} lacks {len(missing)} of its files: {', '.join(missing[:5])}.",
            _COPY_AGAIN,
        )
    for file in files:
        refuse_offline(file)


def _is_there(file: Path) -> bool:
    try:
        return file.is_file()
    except (OSError, ValueError):  # a damaged index has names that no file can have
        return False


def _mrxs_files(path: Path) -> list[Path]:
    """What ``Slidedat.ini`` lists; section and key names as MIRAX scanners write them."""
    folder = path.with_suffix("")
    index = folder / "Slidedat.ini"
    if not index.is_file():
        return [index]
    listed = _read_ini(index)
    files = [folder / listed.get("HIERARCHICAL", "INDEXFILE", fallback="Index.dat")]
    for i in range(_n_files(path, listed)):
        files.append(folder / listed.get("DATAFILE", f"FILE_{i}", fallback=f"Data{i:04d}.dat"))
    return files


def _n_files(path: Path, listed: configparser.ConfigParser) -> int:
    """How many files of pixels there should be; a damaged number is not counted up to."""
    said = listed.get("DATAFILE", "FILE_COUNT", fallback="0").strip()
    if not (said.isascii() and said.isdigit() and len(said) <= _MAX_DIGITS):
        raise IncompleteSlideError(
            f"{path.name} says in its Slidedat.ini that it has {said[:20]!r} files.", _COPY_AGAIN
        )
    return int(said)


def _hamamatsu_files(path: Path) -> list[Path]:
    listed = _read_ini(path)
    return [
        path.parent / value
        for section in listed.sections()
        for key, value in listed.items(section)
        if value and (key.startswith("imagefile") or key in {"mapfile", "macroimage"})
    ]


def _read_ini(path: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(path.read_text(encoding="utf-8-sig", errors="replace"))
    except configparser.Error as error:
        raise IncompleteSlideError(f"{path.name} is cut off or damaged.", _COPY_AGAIN) from error
    return parser


def _check_one_series(path: Path) -> None:
    """OpenSlide opens the one series of a file; others in the folder would be lost silently."""
    series: set[str] = set()
    for file in slide_files(path):
        try:
            with openslide.OpenSlide(file) as slide:
                series.add(slide.properties.get("dicom.SeriesInstanceUID", ""))
        except openslide.OpenSlideError:
            continue  # a label or macro image on its own
    if len(series) > 1:
        raise UnreadableSlideError(
            f"The folder {path.parent.name} holds {len(series)} DICOM series.",
            "Give each series a folder of its own.",
        )


def _next_directory(tiff: tifffile.TiffFile, size: int) -> int:
    """Where the directory after the last one that was found begins, beyond the file's end; else 0.

    tifffile leaves directories out that a cut-off file does not hold any more, and only logs it.
    """
    at = tiff.pages.next_page_offset
    if at is None:
        return 0
    tiff.filehandle.seek(at)
    (offset,) = struct.unpack(tiff.tiff.offsetformat, tiff.filehandle.read(tiff.tiff.offsetsize))
    return int(offset) + 1 if offset >= size else 0


def _check_tiff(path: Path) -> None:
    """Every directory, and every tile or strip that one points to, must lie within the file."""
    size = path.stat().st_size
    try:
        with tifffile.TiffFile(path) as tiff:
            end = max(
                (
                    offset + count
                    for page in tiff.pages
                    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True)
                ),
                default=0,
            )
            end = max(end, _next_directory(tiff, size))
    except tifffile.TiffFileError:
        return  # not a TIFF, or its first bytes are damaged: opening it will say what is wrong
    except TIFF_DAMAGE as error:
        raise IncompleteSlideError(
            f"{path.name}: its directory of tiles cannot be read ({error}).", _COPY_AGAIN
        ) from error
    if end > size:
        raise IncompleteSlideError(
            f"{path.name} has {size:,} bytes and needs at least {end:,}.", _COPY_AGAIN
        )
