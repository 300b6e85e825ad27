"""The ground floor for files: written whole or not at all, known by digest, read into settings.

Nothing here knows what is in a file. What a format looks like belongs in ``storage``.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from hoverfast_platform.errors import SettingsError, StorageError

_Model = TypeVar("_Model", bound=BaseModel)


@contextlib.contextmanager
def written_atomically(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it to ``path`` when the block succeeds.

    Raises:
        StorageError: If the folder is not writable or the disk is full.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except StorageError:
        part.unlink(missing_ok=True)
        raise
    except OSError as error:
        with contextlib.suppress(OSError):  # the first error is the one to report
            part.unlink(missing_ok=True)
        raise storage_error(path, error) from error
    except BaseException:
        part.unlink(missing_ok=True)
        raise


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
def reporting_storage(path: Path) -> Iterator[None]:
    """Turn an ``OSError`` of the block into the error that says what to do about ``path``.

    Raises:
        StorageError: Instead of the ``OSError``.
    """
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        raise storage_error(path, error) from error


def storage_error(path: Path, error: OSError) -> StorageError:
    """The error to raise when ``path`` could not be written, with what the disk has left."""
    folder = path.parent
    while not folder.exists():
        folder = folder.parent
    free_gib = shutil.disk_usage(folder).free / 2**30
    return StorageError(
        f"{path} cannot be written: {error.strerror or error} "
        f"({free_gib:.2f} GiB free in {folder}).",
        "Free space, choose another output folder, or check its permissions; finished tile "
        "blocks are kept and the next run goes on from them.",
    )


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, hex.

    Raises:
        OSError: If it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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


def read_settings_file(path: Path, model: type[_Model], *, what: str, remedy: str = "") -> _Model:
    """A JSON file as settings.

    Args:
        path: The file.
        model: What it holds.
        what: What it should have been, for the message: ``a policy of checks``.
        remedy: What to do where it is wrong.

    Raises:
        SettingsError: If it cannot be read or is wrong; every wrong field is named.
    """
    try:
        return model.model_validate_json(path.read_bytes())
    except (ValidationError, OSError) as error:
        raise SettingsError(f"{path} is not {what}: {error}", remedy) from error


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
