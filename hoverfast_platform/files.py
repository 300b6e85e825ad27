"""The ground floor for files: written whole or not at all, known by digest, read into settings.

Nothing here knows what is in a file. What a format looks like belongs in ``storage``.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import glob
import hashlib
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from hoverfast_platform.errors import HoverFastError, SettingsError, StorageError
from hoverfast_platform.file_system_errors import WHEN_FULL, named_failure, words_of
from hoverfast_platform.stand_ins import refuse_stand_in
from hoverfast_platform.sure_steps import remove_folder, rename
from hoverfast_platform.wrong_settings import wrong_fields

_Model = TypeVar("_Model", bound=BaseModel)
_UNWRITTEN = b"Nothing was written here yet.\n"


@contextlib.contextmanager
def written_atomically(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it to ``path`` when the block succeeds.

    What killed processes of this machine left of the same file is removed. Whoever writes opens
    the file anew: it is there already, so that lost bytes are heard of.

    Raises:
        StorageError: If the folder is not writable or the disk is full.
    """
    begin = f".{path.name}.{_machine()}-"
    part = path.with_name(f"{begin}{os.getpid()}.part")
    try:
        with reporting_storage(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            for left in path.parent.glob(f"{glob.escape(begin)}*.part"):
                if not _is_alive(left.name.removeprefix(begin).removesuffix(".part")):
                    left.unlink(missing_ok=True)
            with _listening(part):
                yield part
            rename(part, path)
    except BaseException:
        with contextlib.suppress(OSError):  # the first error is the one to report
            part.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """Yield an empty folder in ``parent``, which goes with the block.

    What killed processes of this machine left in ``parent`` is removed.
    """
    begin = f".scratch.{_machine()}-"
    for left in parent.glob(f"{begin}*"):
        if not _is_alive(left.name.removeprefix(begin).partition("-")[0]):
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=parent, prefix=f"{begin}{os.getpid()}-") as folder:
        yield Path(folder)


@contextlib.contextmanager
def _listening(part: Path) -> Iterator[None]:
    """Wait until a file that the block writes is on the disk, and raise if bytes of it were lost.

    A network share, or a quota, may take bytes and refuse them when the file is closed. That is
    told once to everybody who has the file open, and some libraries keep it to themselves. So it
    is opened here, too, before they do.

    Raises:
        OSError: If bytes were lost, or nothing was written.
    """
    descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        os.write(descriptor, _UNWRITTEN)
        yield
        os.fsync(descriptor)
        if not os.path.samestat(os.fstat(descriptor), part.stat()):
            fsync(part)  # the block renamed another file to it
            return
        os.lseek(descriptor, 0, os.SEEK_SET)
        if os.read(descriptor, len(_UNWRITTEN) + 1) == _UNWRITTEN:
            raise FileNotFoundError(errno.ENOENT, "nothing was written", str(part))
    finally:
        os.close(descriptor)


@functools.cache
def _machine() -> str:
    """A short name of this machine or container: process ids mean nothing on another."""
    return text_sha256(socket.gethostname())[:6]


def _is_alive(pid: str) -> bool:
    """Whether a process may still be writing; one that belongs to somebody else may."""
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except (ValueError, PermissionError):
        return True
    return True


@contextlib.contextmanager
def folder_written_atomically(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``path``; rename it to ``path`` when the block succeeds.

    What a killed run left under the temporary name is removed first, so only one process at
    a time may write a folder.

    Raises:
        StorageError: If the folder is not writable or the disk is full.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        with reporting_storage(path):
            shutil.rmtree(part, ignore_errors=True)
            path.parent.mkdir(parents=True, exist_ok=True)
            yield part
            if path.exists():
                remove_folder(path)
            rename(part, path)
            fsync(path.parent)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def fsync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all.

    Raises:
        StorageError: If the folder is not writable or the disk is full.
    """
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all.

    Raises:
        StorageError: If the folder is not writable or the disk is full.
    """
    with written_atomically(path) as part:
        part.write_bytes(content)


@contextlib.contextmanager
def reporting_storage(path: Path, *also: type[Exception]) -> Iterator[None]:
    """Turn an ``OSError`` of the block into the error that says what to do about ``path``.

    Errors that the platform raised on purpose pass unchanged: a slide that cannot be read is an
    ``OSError`` too, and says more than "cannot be written".

    Args:
        path: What the block writes.
        also: What a library raises for a full disk, if that is not an ``OSError``.

    Raises:
        StorageError: Instead of the ``OSError``.
    """
    kinds: tuple[type[Exception], ...] = (OSError, *also)
    try:
        yield
    except HoverFastError:
        raise
    except kinds as error:
        raise _storage_error(path, error) from error


def _storage_error(path: Path, error: Exception) -> StorageError:
    reason = (error.strerror if isinstance(error, OSError) else None) or words_of(error)
    text = f"{path} cannot be written: {reason}{_space_near(path)}."
    return named_failure(text, error) or StorageError(text, WHEN_FULL)


def _space_near(path: Path) -> str:
    """How much is free, in brackets; nothing where the file system does not say it."""
    folder = path.parent
    try:
        while not folder.exists():
            folder = folder.parent
        return f" ({shutil.disk_usage(folder).free / 2**30:.2f} GiB free in {folder})"
    except OSError:  # a share that is away
        return ""


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, hex.

    Raises:
        OSError: If it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        error.filename = error.filename or str(path)  # opening says which file it was, reading not
        raise


def text_sha256(text: str) -> str:
    """SHA-256 of a text in UTF-8, hex."""
    return bytes_sha256(text.encode())


def bytes_sha256(*parts: bytes) -> str:
    """SHA-256 of some bytes, laid end to end, hex."""
    digest = Sha256()
    for part in parts:
        digest.add(part)
    return digest.hex()


class Sha256:
    """A SHA-256 that grows piece by piece, for what is too large to be held at once."""

    def __init__(self) -> None:
        self._sha = hashlib.sha256()

    def add(self, piece: bytes | str) -> None:
        """Add a piece; a text is added in UTF-8."""
        self._sha.update(piece.encode() if isinstance(piece, str) else piece)

    def hex(self) -> str:
        """The digest of all that was added so far, hex."""
        return self._sha.hexdigest()


def read_settings_file(
    path: Path,
    model: type[_Model],
    *,
    what: str,
    remedy: str = "",
    raises: type[HoverFastError] = SettingsError,
) -> _Model:
    """A JSON file as settings.

    Args:
        path: The file.
        model: What it holds.
        what: What it should have been, for the message: ``a policy of checks``.
        remedy: What to do where it is wrong.
        raises: The error to raise where it is wrong.

    Raises:
        HoverFastError: Of type ``raises``: if the file cannot be read or is wrong; every
            wrong field is named.
    """
    with reporting_content(path, what, remedy, raises):
        try:
            return model.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise ValueError(wrong_fields(error, model)) from error


@contextlib.contextmanager
def reporting_content(
    path: Path, what: str, remedy: str, raises: type[HoverFastError]
) -> Iterator[None]:
    """Turn what a block finds wrong in a file into one error that names the file.

    For files that :func:`read_settings_file` cannot read: settings inside a picture, a text with
    its digest.

    Args:
        path: The file.
        what: What it should have been: ``a summary``.
        remedy: What to do about it.
        raises: The error to raise.

    Raises:
        HoverFastError: Of type ``raises``: instead of ``OSError`` and ``ValueError``, which
            pydantic's are.
    """
    try:
        yield
    except (OSError, ValueError) as error:
        refuse_stand_in(path, what, raises)
        raise raises(f"{path} is not {what}: {error}", remedy) from error


def read_settings_file_if_any(path: Path, model: type[_Model], *, what: str) -> _Model:
    """A JSON file as settings, or the default settings where there is no file.

    Raises:
        SettingsError: If it cannot be read or is wrong; every wrong field is named.
    """
    return read_settings_file(path, model, what=what) if path.exists() else model()


def one_name(name: str) -> str:
    """The name itself, if a file below a folder may be called that.

    Raises:
        SettingsError: If it could lead out of the folder.
    """
    is_one = name not in ("", ".", "..") and not any(c in name for c in "/\\\0")
    if not is_one:
        raise SettingsError(
            f"{name!r} cannot be the name of a file: it is empty, or leads into another folder.",
            "Use letters, digits, dot, dash and underscore.",
        )
    return name


MAX_STEM_BYTES = 210
"""A name has at most 255 bytes. What is added to a stem: a digest, an ending such as
``_label_mask.tif``, and what marks a file that is being written."""


def fitting_stem(stem: str) -> str:
    """The stem itself, if files can be named after it.

    Raises:
        StorageError: If their names would be too long.
    """
    n_bytes = len(os.fsencode(stem))
    if n_bytes > MAX_STEM_BYTES:
        raise StorageError(
            f"No result can be named {stem[:40]}...: this name has {n_bytes} bytes, and at most "
            f"{MAX_STEM_BYTES} leave room for the endings.",
            "Rename the file; results of slides can also be named by content (--pseudonyms).",
        )
    return stem
