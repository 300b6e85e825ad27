"""Slides at https://, s3:// and other places that fsspec reaches.

A slide is known by the digest of all its bytes, so that segmenting one reads all of it in any case:
it is brought here once, and every reader can read it. What a slide says of itself needs some ranges
of bytes alone.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from hoverfast_platform.errors import (
    AbsentSlideError,
    HoverFastError,
    IncompleteSlideError,
    SettingsError,
    UnreadableSlideError,
)
from hoverfast_platform.files import written_atomically
from hoverfast_platform.slide.tiff_reader import TiffReader

_REMOTE = re.compile(r"^(https?|s3|gs|gcs|az|abfs)://")
_SEVERAL_FILES = frozenset({".mrxs", ".vms", ".vmu", ".dcm", ".zarr"})
_BLOCK_BYTES = 1 << 22
_HEADER_BYTES = 1 << 16
_N_ATTEMPTS = 5


def is_remote(place: str) -> bool:
    """Whether a person named a place on a network instead of a file."""
    return _REMOTE.match(place) is not None


@contextmanager
def open_remote(url: str, *, mpp_override: float | None = None) -> Iterator[TiffReader]:
    """A remote TIFF, of which only what is asked for is read.

    Raises:
        SettingsError: If fsspec lacks what the place needs.
        UnreadableSlideError: If it cannot be reached, takes no ranges, or is not a TIFF.
        MissingMppError: If it does not say its scale and none is given.
    """
    with ExitStack() as stack:
        with _told(url):
            file = stack.enter_context(_file_system(url).open(url, "rb", block_size=_HEADER_BYTES))
            reader = TiffReader(Path(_name(url)), mpp_override=mpp_override, file=file)
        yield stack.enter_context(reader)


def fetch_slide(url: str, folder: Path) -> Path:
    """Bring a slide into a folder; it appears whole or not at all.

    A connection that breaks is taken up where it broke, up to five times.

    Returns:
        The file.

    Raises:
        SettingsError: If the file is there already, the slide is of several files, or fsspec lacks
            what the place needs.
        UnreadableSlideError: If it cannot be reached.
        IncompleteSlideError: If fewer bytes came than the place has.
        StorageError: If the disk is full.
    """
    target = folder / _name(url)
    if target.suffix.lower() in _SEVERAL_FILES:
        raise SettingsError(
            f"A {target.suffix} slide is of several files.",
            "Copy its folder with the place's tools.",
        )
    if target.exists():
        raise SettingsError(f"{target} is there already.", "Give another folder, or remove it.")
    with _told(url):
        system = _file_system(url)
        size = system.size(url)
    with written_atomically(target) as part, part.open("wb") as out:
        n_failed = 0
        while size is None or out.tell() < size:
            before = out.tell()
            try:
                for block in _blocks(system, url, before):
                    out.write(block)
                break
            except UnreadableSlideError:
                n_failed = 1 if out.tell() > before else n_failed + 1
                if n_failed == _N_ATTEMPTS or size is None:
                    raise
                time.sleep(0.2 * n_failed)
        if size is not None and out.tell() != size:
            raise IncompleteSlideError(
                f"{_shown(url)} has {size:,} bytes, and {out.tell():,} came.", "Fetch it again."
            )
    return target


def _blocks(system: Any, url: str, start: int) -> Iterator[bytes]:
    """The bytes from ``start`` on. What its user does with them is not taken for the network's."""
    with ExitStack() as stack:
        with _told(url):
            file = stack.enter_context(
                system.open(url, "rb", block_size=_BLOCK_BYTES, cache_type="readahead")
            )
            if start:
                file.seek(start)
        while True:
            with _told(url):
                block: bytes = file.read(_BLOCK_BYTES)
            if not block:
                return
            yield block


def _file_system(url: str) -> Any:
    import fsspec  # type: ignore[import-untyped]

    try:
        return fsspec.core.url_to_fs(url)[0]
    except (ImportError, ValueError) as error:
        raise SettingsError(
            f"{_shown(url)} needs a package that is not installed: {error}.",
            "`pip install 'hoverfast-platform[remote]'`; for s3:// 'hoverfast-platform[s3]'.",
        ) from error


@contextmanager
def _told(url: str) -> Iterator[None]:
    """Network errors of any library as ours; addresses without what signs them."""
    try:
        yield
    except (HoverFastError, MemoryError):
        raise
    except FileNotFoundError as error:
        raise AbsentSlideError(f"{_shown(url)} does not exist.", "Check the address.") from error
    except Exception as error:  # each library of a network has a family of its own
        raise UnreadableSlideError(
            f"{_shown(url)} cannot be read: {type(error).__name__}.",
            "Check the network and your rights there; a place without ranges can be fetched only.",
        ) from error


def _name(url: str) -> str:
    name = Path(unquote(urlsplit(url).path)).name
    if not name or not name.isprintable():
        raise SettingsError(f"{_shown(url)} does not end in the name of a file.")
    return name


def _shown(url: str) -> str:
    """The address without password, query and fragment: signatures are secrets."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{parts.path}"
