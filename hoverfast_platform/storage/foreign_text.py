"""Text files that others wrote: gzip and zip by first bytes, any Unicode encoding, bounded."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from isal import igzip, isal_zlib

from hoverfast_platform.errors import StorageError
from hoverfast_platform.stand_ins import refuse_stand_in
from hoverfast_platform.storage import limits
from hoverfast_platform.storage.gzip_parts import DEFLATE_ERROR

_GZIP = b"\x1f\x8b"
_ZIP = b"PK\x03\x04"
_GEOJSON = (".geojson", ".json")
_BYTE_ORDER_MARKS = (
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
)
_OTHER_KINDS = (
    (_ZIP, "a ZIP archive or an Excel file", "Unpack it, or save it as text."),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Word file", "Save it as text (CSV)."),
    (b"%PDF", "a PDF file", "Export the data themselves."),
    (b"(\xb5/\xfd", "compressed with zstd", "Unpack it with `unzstd`."),
    (b"BZh", "compressed with bzip2", "Unpack it with `bunzip2`."),
    (b"\xfd7zXZ", "compressed with xz", "Unpack it with `unxz`."),
    (b"\x89HDF", "an HDF5 file", "Export the data as text."),
)
_HEAD_BYTES = 64
_DAMAGE: tuple[type[Exception], ...] = (
    OSError,
    EOFError,
    zlib.error,
    cast(type[Exception], isal_zlib.error),  # its stubs do not say that it is an exception
    DEFLATE_ERROR,
    zipfile.BadZipFile,
    NotImplementedError,  # zipfile's word for a compression it does not know
)


@contextmanager
def opened_text(path: Path) -> Iterator[IO[str]]:
    """A file as text; whatever is wrong with it, while it is open too, is one kind of error.

    Raises:
        StorageError: If it cannot be read, is damaged, not text in a Unicode encoding, or holds
            far more than its size lets expect. The message never repeats what is in the file.
    """
    refuse_stand_in(path, "what its name says", StorageError)
    try:
        with path.open("rb") as raw, _unpacked(path, raw) as plain:
            text = io.TextIOWrapper(io.BufferedReader(plain), encoding=_encoding(path, plain))
            yield text
    except StorageError:
        raise
    except UnicodeError as error:
        raise StorageError(
            f"{path} is not text in UTF-8 or UTF-16.",
            "Save it as UTF-8: in editors under 'Save as', in Excel as 'CSV UTF-8'.",
        ) from error
    except _DAMAGE as error:
        why = (error.strerror if isinstance(error, OSError) else "") or str(error)
        raise StorageError(
            f"{path} cannot be read whole: {why}.", "It is truncated or damaged."
        ) from error


def decoded_text(path: Path, max_length: int) -> str:
    """All of a small text file; what is not Unicode is taken for Windows' Western encoding.

    Raises:
        StorageError: As :func:`opened_text` does, or if it is longer than ``max_length``.
    """
    try:
        with opened_text(path) as file:
            text = file.read(max_length + 1)
        return _not_too_long(path, text, max_length)
    except StorageError as error:
        if not isinstance(error.__cause__, UnicodeError):
            raise
    with path.open("rb") as raw:
        content = raw.read(max_length + 1)
    if b"\0" in content:
        raise StorageError(f"{path} is not a text file.", "Save it as text (CSV).")
    return _not_too_long(path, content.decode("cp1252", errors="replace"), max_length)


def _not_too_long(path: Path, text: str, max_length: int) -> str:
    if len(text) > max_length:
        raise StorageError(
            f"{path} holds more than {max_length / 2**20:.0f} million characters, too many for a "
            "table.",
            "Perhaps it is another file; a table of images has a line for each.",
        )
    return text


class _Bounded(io.RawIOBase):
    """Bytes of another file, no more than a limit; remembers its first ones."""

    def __init__(self, file: BinaryIO, path: Path, limit: int) -> None:
        self._file, self._path, self._left, self._limit = file, path, limit, limit
        self.head = file.read(_HEAD_BYTES)
        self._pending = self.head

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        wanted = len(buffer)
        if self._pending:
            part, self._pending = self._pending[:wanted], self._pending[wanted:]
        else:
            part = self._file.read(wanted)
        self._left -= len(part)
        if self._left < 0:
            raise StorageError(
                f"{self._path} expands to more than {self._limit / 1e6:,.0f} MB.",
                "Text of nuclei is compressed 3 to 10 times; this file is damaged or an attack.",
            )
        buffer[: len(part)] = part
        return len(part)


def _unpacked(path: Path, raw: IO[bytes]) -> _Bounded:
    first = raw.read(4)
    raw.seek(0)
    size = path.stat().st_size
    limit = max(limits.ALWAYS_BYTES, limits.MAX_EXPANSION * size)
    if first.startswith(_GZIP):
        opened: Any = igzip.open
        return _Bounded(opened(raw, "rb"), path, limit)
    if first == _ZIP:
        only = _only_geojson(path, raw)
        if only is not None:
            return _Bounded(cast("BinaryIO", only), path, limit)
        raw.seek(0)
    return _Bounded(cast("BinaryIO", raw), path, max(size, limits.ALWAYS_BYTES))


def _only_geojson(path: Path, raw: IO[bytes]) -> IO[bytes] | None:
    """The one file of GeoJSON in a zip, as QuPath exports it; None where there are others too."""
    try:
        archive = zipfile.ZipFile(raw)
    except zipfile.BadZipFile as error:
        raise StorageError(
            f"{path} begins as a ZIP archive or an Excel file does, and cannot be read whole: "
            f"{error}.",
            "It is truncated or damaged. Copy it again; a table is saved as text (CSV).",
        ) from error
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    is_encrypted = any(entry.flag_bits & 1 for entry in entries)
    if len(entries) != 1 or is_encrypted or not entries[0].filename.lower().endswith(_GEOJSON):
        return None
    return archive.open(entries[0])


def _encoding(path: Path, plain: _Bounded) -> str:
    head = plain.head
    for mark, encoding in _BYTE_ORDER_MARKS:
        if head.startswith(mark):
            return encoding
    for first, kind, remedy in _OTHER_KINDS:
        if head.startswith(first):
            raise StorageError(f"{path} is {kind}, not text.", remedy)
    if len(head) >= 2 and head[1] == 0 and head[0]:
        return "utf-16-le"
    if len(head) >= 2 and head[0] == 0 and head[1]:
        return "utf-16-be"
    return "utf-8"
