"""Finished artefacts in an object store that all machines share.

Blocks, locks, checkpoints and HDF5 need real files. So every machine works in a folder of its own,
and what is finished is published to the store and fetched from it::

    parts/<ab>/<sha256>            the bytes of a file, under their digest
    artefacts/<name>.json          which files an artefact has: the manifest, written last

An artefact exists exactly when its manifest does, and a manifest is one small object, which is
written whole or not at all. An upload that was killed leaves parts that nobody refers to:
:meth:`SharedArtefacts.sweep` removes them. Of two machines that publish the same artefact the
later manifest counts, and the files of both are whole.
"""

from __future__ import annotations

import datetime
import functools
import glob
import platform
import threading
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from hoverfast_platform.errors import SettingsError, StorageError
from hoverfast_platform.files import (
    file_sha256,
    read_settings_file,
    write_text,
    written_atomically,
)
from hoverfast_platform.storage.object_store import ObjectStore
from hoverfast_platform.storage.shared_manifest import (
    MADE_BY_PEOPLE,
    MADE_BY_STEPS,
    MANIFEST_ENDING,
    MANIFESTS,
    PARTS,
    Manifest,
    SharedFile,
    manifest_object,
    read_manifest,
)

MIN_SWEEP_AGE = datetime.timedelta(days=1)
_RENEWED_AFTER = MIN_SWEEP_AGE / 2
_ONE_FETCH_AT_A_TIME = threading.Lock()  # scratch names are those of a process


@dataclass(frozen=True)
class Swept:
    """What sweeping removed."""

    n_parts: int
    n_bytes: int


@dataclass(frozen=True)
class SharedArtefacts:
    """The artefacts of a store, and the working folder of this machine.

    Attributes:
        root: The working folder.
        store: Where all machines publish to.
    """

    root: Path
    store: ObjectStore

    @classmethod
    def at(cls, root: Path, url: str) -> SharedArtefacts | None:
        """Those at a URL; None for an empty one: then nothing is shared, and nothing costs."""
        return cls(root, ObjectStore(url)) if url else None

    def bring(self, path: Path) -> Path:
        """The path itself, once what lies there is what the store has, if it has it.

        Args:
            path: An artefact or a file of one in the working folder; others are left alone.

        Raises:
            StorageError: If what the store has is damaged, or cannot be written here.
        """
        name = self.name_of(path)
        if name is not None:
            self.fetch(name)
        return path

    def bring_all(self, folder: Path) -> Path:
        """The folder itself, once all that the store has of it is here.

        Raises:
            StorageError: As :meth:`bring` does.
        """
        for manifest in self.manifests(folder.relative_to(self.root).as_posix()):
            self._make_equal(manifest)
        return folder

    def fetch(self, name: str) -> Manifest | None:
        """Have an artefact here as the store has it; None if the store lacks it.

        Files that are equal stay; others are downloaded, held against their digests and renamed
        into place. Files of the artefact that the store lacks are removed, but for hidden ones and
        for what people changed here.

        Raises:
            StorageError: If a part is missing, or holds other bytes; nothing is changed here then.
        """
        manifest = self.manifest(name)
        if manifest is None:
            return None
        try:
            self._make_equal(manifest)
        except StorageError:
            newer = self.manifest(name)  # published anew meanwhile, and the old parts swept?
            if newer is None or newer == manifest:
                raise
            self._make_equal(newer)
            return newer
        return manifest

    def publish(self, path: Path) -> Manifest:
        """Publish what lies at a path of the working folder.

        Raises:
            SettingsError: If artefacts do not lie there.
            StorageError: If its files are missing, or one of them changed meanwhile.
        """
        name = self.name_of(path)
        if name is None:
            raise SettingsError(
                f"{path} is not an artefact of {self.root}.",
                f"Name one of {', '.join((*MADE_BY_STEPS, *MADE_BY_PEOPLE))} and what is in it.",
            )
        return self.publish_files(name, self._files(name))

    def publish_files(self, name: str, files: Mapping[str, Path]) -> Manifest:
        """Publish an artefact: first its parts, last its manifest.

        Parts that are there already are not sent again. What is unchanged keeps its manifest.

        Args:
            name: Name of the artefact.
            files: Each file, by its name in the working folder.

        Raises:
            StorageError: If its files are missing, or one of them changed meanwhile.
        """
        if not files:
            raise StorageError(
                f"There is nothing to publish as {name}: no file in {self.root / name}.",
                "Make it first, or name another.",
            )
        known = self.manifest(name)
        kept = {file.sha256 for file in known.files} if known is not None else set()
        shared = tuple(self._send(name, path, kept) for name, path in sorted(files.items()))
        if known is not None and known.files == shared:
            return known
        manifest = Manifest(
            name=name,
            files=shared,
            published_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            machine=platform.node(),
        )
        self.store.write(manifest_object(name), manifest.model_dump_json(indent=1).encode())
        for file in shared:  # a sweep that began before may have taken an old part
            if self.store.size(file.part) is None:
                self.store.upload(files[file.name], file.part)
        self._remember(manifest)
        return manifest

    def publish_model(self, weights: Path, sha256: str) -> Manifest:
        """Publish a model under its digest, by which every machine finds it.

        Args:
            weights: Its file; card and int8 form beside it go with it.
            sha256: Digest of the weights.

        Raises:
            StorageError: As :meth:`publish` does.
        """
        beside = sorted(weights.parent.glob(f"{glob.escape(weights.stem)}.*"))
        name = f"models/{sha256}"
        return self.publish_files(
            name, {f"{name}/{path.name}": path for path in beside if path.is_file()}
        )

    def fetch_model(self, sha256: str) -> Path | None:
        """The weights of a published model, fetched; None if the store lacks it."""
        manifest = self.fetch(f"models/{sha256}")
        if manifest is None:
            return None
        names = [file.name for file in manifest.files if file.sha256 == sha256]
        return self.root / names[0] if names else None

    def manifest(self, name: str) -> Manifest | None:
        """What the store has under a name; None if nothing.

        Raises:
            StorageError: If the object is not a manifest of this program.
        """
        content = self.store.read(manifest_object(name))
        return None if content is None else self._manifest(name, content)

    def manifests(self, below: str = "") -> tuple[Manifest, ...]:
        """All artefacts of the store, or those below a name, sorted by name.

        Raises:
            StorageError: If an object is not a manifest of this program.
        """
        objects = self.store.names(f"{MANIFESTS}/{below}" if below else MANIFESTS)
        found = self.store.read_all([name for name in objects if name.endswith(MANIFEST_ENDING)])
        begin = len(MANIFESTS) + 1
        return tuple(
            self._manifest(name[begin : -len(MANIFEST_ENDING)], content)
            for name, content in sorted(found.items())
        )

    def remove(self, *names: str) -> int:
        """Remove artefacts from the store, with the parts that no other artefact has.

        Returns:
            How many of them were there.
        """
        contents = self.store.read_all([manifest_object(name) for name in names])
        parts: set[str] = set()
        for name in names:
            content = contents.get(manifest_object(name))
            if content is not None:
                with suppress(StorageError):  # parts of a damaged manifest are left to sweeping
                    parts |= {file.part for file in self._manifest(name, content).files}
                self.store.remove(manifest_object(name))
        if parts:
            parts -= {file.part for manifest in self.manifests() for file in manifest.files}
        for part in parts:
            self.store.remove(part)
        return len(contents)

    def sweep(self, older_than: datetime.timedelta) -> Swept:
        """Remove parts that no manifest names: of killed uploads, and of what was published anew.

        Args:
            older_than: Younger ones stay, since an upload may be under way.

        Raises:
            SettingsError: If that is less than a day.
            StorageError: If a manifest cannot be read; nothing is removed then.
        """
        if older_than < MIN_SWEEP_AGE:
            raise SettingsError(
                "Parts younger than a day are not swept: an upload may be under way.",
                "Give a day or more.",
            )
        parts = self.store.names(PARTS)  # listed first: what is published meanwhile stays
        used = {file.part for manifest in self.manifests() for file in manifest.files}
        n_parts = n_bytes = 0
        for part in sorted(set(parts) - used):
            size, age = self.store.size(part), self.store.age(part)
            if size is not None and age is not None and age > older_than:
                self.store.remove(part)
                n_parts, n_bytes = n_parts + 1, n_bytes + size
        return Swept(n_parts, n_bytes)

    def published_by(self, names: Iterable[str]) -> tuple[Path, ...]:
        """The artefacts of the working folder that names mean: one, or a folder of several.

        Raises:
            SettingsError: If nothing is called that there.
        """
        found: dict[Path, None] = {}
        for name in names:
            place = self.root / name
            inside = [place] if self.name_of(place) else sorted(place.glob("[!.]*"))
            if not any(map(self.name_of, inside)):  # labels lie one folder deeper
                inside = sorted(place.glob("*/[!.]*"))
            several = [path for path in inside if (own := self.name_of(path)) and self._files(own)]
            if not several:
                raise SettingsError(
                    f"{place} is not an artefact, and holds none.",
                    f"Name one of {', '.join((*MADE_BY_STEPS, *MADE_BY_PEOPLE))}, or what is in "
                    "it.",
                )
            found |= dict.fromkeys(several)
        return tuple(found)

    def name_of(self, path: Path) -> str | None:
        """The artefact that a path of the working folder belongs to; None if to none."""
        try:
            parts = path.absolute().relative_to(self.root.absolute()).parts
        except ValueError:
            return None
        n_names = {**MADE_BY_STEPS, **MADE_BY_PEOPLE}.get(parts[0] if parts else "", 0)
        return "/".join(parts[:n_names]) if 0 < n_names <= len(parts) else None

    def _send(self, name: str, path: Path, kept: Iterable[str]) -> SharedFile:
        """A file's part in the store; sent unless it is there."""
        before = _stamp(path)
        file = SharedFile(name=name, n_bytes=before[0], sha256=_digest(path, *before))
        is_there = self.store.size(file.part) == file.n_bytes
        if is_there and file.sha256 not in kept:
            age = self.store.age(file.part)
            is_there = age is not None and age < _RENEWED_AFTER  # else a sweep may take it
        if not is_there:
            self.store.upload(path, file.part)
            if _stamp(path) != before:
                self.store.remove(file.part)  # it may hold other bytes than its name says
                raise StorageError(
                    f"{path} changed while it was published.", "Wait for its writer; do it again."
                )
        return file

    def _make_equal(self, manifest: Manifest) -> None:
        """Have the files of an artefact here as its manifest says."""
        with _ONE_FETCH_AT_A_TIME:
            files = self._files(manifest.name)
            here = {name: _digest(path, *_stamp(path)) for name, path in files.items()}
            wanted = {file.name: file.sha256 for file in manifest.files}
            if here == wanted:
                return
            if here and self._is_peoples(manifest.name) and here != self._remembered(manifest.name):
                return  # somebody changed it here since, and it is not published yet
            with ExitStack() as renamed:  # all are here and checked before the first is renamed
                for file in manifest.files:
                    if here.get(file.name) != file.sha256:
                        part = renamed.enter_context(written_atomically(self.root / file.name))
                        self._download(manifest, file, part)
            for name in here.keys() - wanted.keys():
                with suppress(FileNotFoundError):
                    (self.root / name).unlink()
            self._remember(manifest)

    def _download(self, manifest: Manifest, file: SharedFile, path: Path) -> None:
        is_there = self.store.download(file.part, path)
        if is_there and file_sha256(path) == file.sha256:
            return
        why = "holds other bytes than were published" if is_there else "is not there"
        raise StorageError(
            f"{manifest.name} in {self.store.url} is damaged: the part of {file.name} {why} "
            f"({file.part}).",
            f"`hoverfast artefacts remove {manifest.name}`; then make it again, or publish it from "
            "a machine that has it.",
        )

    def _files(self, name: str) -> dict[str, Path]:
        """The files of an artefact that are here, without hidden ones, by name."""
        place = self.root / name
        if place.is_file():
            return {name: place}
        files = {path.relative_to(self.root): path for path in place.rglob("*") if path.is_file()}
        return {
            relative.as_posix(): path
            for relative, path in files.items()
            if not any(part.startswith(".") for part in relative.parts)
        }

    def _manifest(self, name: str, content: bytes) -> Manifest:
        return read_manifest(self.store.url, name, content)

    def _is_peoples(self, name: str) -> bool:
        return name.split("/")[0] in MADE_BY_PEOPLE

    def _remembered(self, name: str) -> dict[str, str] | None:
        """What was fetched or published here last, by file."""
        path = self._note(name)
        if not path.is_file():
            return None
        what = "a note of what was fetched"
        note = read_settings_file(path, Manifest, what=what, raises=StorageError)
        return {file.name: file.sha256 for file in note.files}

    def _remember(self, manifest: Manifest) -> None:
        if self._is_peoples(manifest.name):
            write_text(self._note(manifest.name), manifest.model_dump_json())

    def _note(self, name: str) -> Path:
        return self.root / ".shared" / f"{name}{MANIFEST_ENDING}"


def _stamp(path: Path) -> tuple[int, int, int]:
    """What changes with a file: its size, its time, and which file it is since the last rename."""
    found = path.stat()
    return found.st_size, found.st_mtime_ns, found.st_ino


@functools.lru_cache(maxsize=65536)
def _digest(path: Path, _n_bytes: int, _changed_ns: int, _inode: int) -> str:
    """A file's SHA-256, read once per stamp."""
    return file_sha256(path)
