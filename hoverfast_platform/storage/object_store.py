"""A folder of an object store (S3, Google, Azure, a file server): objects by name.

fsspec does the work, and each network library behind it has errors of its own: here they become
ours. What is kept under which name, and when it counts, is ``storage.shared_artefacts``'s.
"""

from __future__ import annotations

import datetime
import errno
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

from hoverfast_platform.errors import (
    HoverFastError,
    SettingsError,
    SharedStoreUnavailableError,
    StorageError,
)
from hoverfast_platform.files import fsync, reporting_storage

SCRATCH = "parts"
"""Folder in which objects of a file server are while they are written."""

_AT_ONCE = 200
"""How many small objects are asked for at the same time."""


class ObjectStore:
    """A folder of an object store, by its URL. Nothing is imported or asked before the first use.

    A PUT of an object is atomic by the rules of every object store: under a name there is all of
    it, or what was there before. A file server has renaming instead, and that is used there.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def read(self, name: str) -> bytes | None:
        """The bytes of a small object; None if there is none of that name."""
        return self.read_all([name]).get(name)

    def read_all(self, names: Sequence[str]) -> dict[str, bytes]:
        """The bytes of many small objects, asked for at the same time; absent ones are left out.

        Raises:
            SharedStoreUnavailableError: If the store does not answer.
            SettingsError: If it refuses us, or the bucket does not exist.
        """
        found: dict[str, bytes] = {}
        with self._told("read"):
            for first in range(0, len(names), _AT_ONCE):
                some = names[first : first + _AT_ONCE]
                answers = self._system.cat_ranges(
                    list(map(self._place, some)), None, None, on_error="return"
                )
                for name, answer in zip(some, answers, strict=True):
                    if isinstance(answer, FileNotFoundError | NotADirectoryError):
                        continue
                    if isinstance(answer, Exception):
                        raise answer
                    found[name] = bytes(answer)
        return found

    def write(self, name: str, content: bytes) -> None:
        """Write a small object, whole or not at all.

        Raises:
            HoverFastError: As :meth:`read_all` does.
        """
        with self._told("written"):
            if self._is_local:
                with self._renamed_into(name) as part:
                    part.write_bytes(content)
            else:
                self._system.pipe_file(self._place(name), content)

    def upload(self, path: Path, name: str) -> None:
        """Write an object from a file; large ones go in pieces and appear once the last is there.

        Raises:
            HoverFastError: As :meth:`read_all` does.
        """
        with self._told("written"):
            if self._is_local:
                with self._renamed_into(name) as part:
                    shutil.copyfile(path, part)
            else:
                self._system.put_file(str(path), self._place(name))

    def download(self, name: str, path: Path) -> bool:
        """Write an object into a file; False if there is none of that name.

        Raises:
            HoverFastError: As :meth:`read_all` does.
        """
        with self._told("read"):
            try:
                self._system.get_file(self._place(name), str(path))
            except FileNotFoundError:
                return False
        return True

    def size(self, name: str) -> int | None:
        """Bytes of an object; None if there is none of that name.

        Raises:
            HoverFastError: As :meth:`read_all` does.
        """
        with self._told("read"):
            try:
                return int(self._system.info(self._place(name))["size"])
            except FileNotFoundError:
                return None

    def age(self, name: str) -> datetime.timedelta | None:
        """Time since an object was written, by the store's clock; None if there is none.

        Raises:
            HoverFastError: As :meth:`read_all` does.
        """
        with self._told("read"):
            try:
                written: datetime.datetime = self._system.modified(self._place(name))
            except FileNotFoundError:
                return None
        if written.tzinfo is None:
            written = written.replace(tzinfo=datetime.UTC)
        return datetime.datetime.now(datetime.UTC) - written

    def names(self, folder: str) -> tuple[str, ...]:
        """Names of all objects below a folder, sorted.

        Raises:
            HoverFastError: As :meth:`read_all` does.
        """
        with self._told("listed"):
            try:
                places = self._system.find(self._place(folder))
            except FileNotFoundError:  # nothing was ever written there
                return ()
        begin = len(self._folder) + 1
        return tuple(sorted(place[begin:] for place in places))

    def remove(self, name: str) -> None:
        """Remove an object, if it is there.

        Raises:
            HoverFastError: As :meth:`read_all` does.
        """
        with self._told("removed"):
            try:
                self._system.rm_file(self._place(name))
            except FileNotFoundError:
                return

    @contextmanager
    def _renamed_into(self, name: str) -> Iterator[Path]:
        """A file server's object while it is written: under a name of its own, among the parts.

        There sweeping finds what a killed writer left.
        """
        scratch, place = Path(self._place(f"{SCRATCH}/.{uuid4().hex}")), Path(self._place(name))
        with reporting_storage(place):
            scratch.parent.mkdir(parents=True, exist_ok=True)
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                yield scratch
                fsync(scratch)
                scratch.replace(place)
            finally:
                scratch.unlink(missing_ok=True)

    def _place(self, name: str) -> str:
        self._system  # noqa: B018 - finds the folder, too
        return f"{self._folder}/{name}"

    @cached_property
    def _system(self) -> Any:
        """The file system of fsspec, once it is known that bucket or folder exist.

        Lists are never kept: another machine may have written since.
        """
        import fsspec  # type: ignore[import-untyped]

        try:
            system, folder = fsspec.core.url_to_fs(
                self.url, use_listings_cache=False, skip_instance_cache=True
            )
        except (ImportError, ValueError) as error:
            raise SettingsError(
                f"{self.url} needs a package that is not installed: {error}.",
                "For s3:// `pip install 'hoverfast-platform[s3]'`; other stores have a package of "
                "their own, such as gcsfs or adlfs.",
            ) from error
        self._folder = folder.rstrip("/")
        protocols = (system.protocol,) if isinstance(system.protocol, str) else system.protocol
        self._is_local = "file" in protocols
        # A prefix need not exist, but a bucket must; a folder must, since an absent one is
        # mostly a share that is not mounted.
        top = self._folder if self._is_local else self._folder.split("/")[0]
        if "memory" not in protocols:
            self._require(system, top)
        return system

    def _require(self, system: Any, top: str) -> None:
        try:
            system.info(top)
        except FileNotFoundError as error:
            what = "folder" if self._is_local else "bucket"
            raise SettingsError(
                f"{self.url} cannot be used: there is no {what} {top}.",
                f"Make the {what}, mount it, or mend the address (HOVERFAST_SHARED, --shared).",
            ) from error

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """Errors of any network library as ours."""
        try:
            self._system  # noqa: B018 - its errors are told, too
            yield
        except (HoverFastError, MemoryError):
            raise
        except Exception as error:
            raise self._error(what, error) from error

    def _error(self, what: str, error: Exception) -> HoverFastError:
        kind = type(error).__name__
        text = f"{self.url} cannot be {what}: {kind}"
        if isinstance(error, PermissionError) or "Credential" in kind or "Token" in kind:
            return SettingsError(
                f"{text}: the store refuses these credentials, or there are none.",
                "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and AWS_ENDPOINT_URL where the "
                "store is not Amazon's; reading, writing, listing and removing must be allowed.",
            )
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return StorageError(f"{text}: no space is left.", "Free space, and do it again.")
        return SharedStoreUnavailableError(
            f"{text}: {error}.", "Check the network and the address; run the same again."
        )
