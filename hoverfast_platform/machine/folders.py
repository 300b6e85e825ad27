"""Folders that are written, the disk they lie on, and the catalogue."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from filelock import FileLock, Timeout

from hoverfast_platform.catalogue.database import (
    CATALOGUE_NAME,
    CatalogueLocation,
    look_up_revision,
    newest_revision,
    shown,
)
from hoverfast_platform.machine.remark import Remark

_LITTLE_GB = 10.0
_TOO_LITTLE_GB = 1.0


def kept_code() -> Remark:
    """Whether compiled loops are kept, so that only the first run compiles them."""
    from hoverfast_platform.compiled import kept_in
    from hoverfast_platform.hv.flooding import grow_markers

    folder = kept_in(grow_markers)
    if folder is None:
        return Remark(
            "note",
            "cannot be kept anywhere",
            "Every process compiles for some seconds. Set NUMBA_CACHE_DIR to a writable folder.",
        )
    return Remark("ok", f"kept in {folder}")


def scratch() -> Remark:
    """The system's folder for temporary files."""
    return _writable(Path(tempfile.gettempdir()), "Set TMPDIR to a folder that can be written.")


def output_folder(out_dir: Path) -> Remark:
    """The folder for results, or the one in which it would be made."""
    folder = out_dir.absolute()
    while not folder.exists():
        folder = folder.parent
    found = _writable(folder, "Choose another --outdir, or ask for the right to write there.")
    if found.state == "wrong":
        return found
    lock = FileLock(folder / f".hoverfast-doctor-{os.getpid()}.lock")
    try:
        with lock.acquire(timeout=5):
            pass
    except (OSError, NotImplementedError, Timeout) as error:
        return Remark(
            "wrong",
            f"{folder} lies on a file system that does not lock files ({error})",
            "Use a local disk or NFS version 4: several runs must not write one result.",
        )
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)
    return found


def _writable(folder: Path, remedy: str) -> Remark:
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"hoverfast")
    except OSError as error:
        return Remark("wrong", f"{folder} cannot be written: {error.strerror}", remedy)
    free_gb = shutil.disk_usage(folder).free / 1e9
    text = f"{folder} can be written, {free_gb:,.1f} GB free"
    if free_gb < _TOO_LITTLE_GB:
        return Remark("wrong", text, "Make room: a large slide's result takes 0.2 GB and more.")
    if free_gb < _LITTLE_GB:
        return Remark("note", text, "Watch it with `hoverfast forecast FOLDER`.")
    return Remark("ok", text)


def catalogue(out_dir: Path, location: CatalogueLocation | None) -> Remark:
    """Whether the catalogue can be read, and is at this version's revision.

    Raises:
        CatalogueError: If it cannot be reached or read.
    """
    asked = location if location is not None else out_dir / CATALOGUE_NAME
    found, newest = look_up_revision(asked), newest_revision()
    if found == newest:
        return Remark("ok", f"{shown(asked)} is at revision {found}")
    if found is None and isinstance(asked, Path):
        return Remark("ok", f"{shown(asked)} is not there yet; the first run makes it")
    upgrade = f"hoverfast catalogue upgrade --catalogue {shown(asked)}"
    if found is None:
        return Remark("wrong", f"{shown(asked)} holds no catalogue yet", f"Make it: {upgrade}")
    if found > newest:
        return Remark(
            "wrong",
            f"{shown(asked)} is at revision {found}, newer than this program's {newest}",
            "Update hoverfast_platform.",
        )
    return Remark(
        "note" if isinstance(asked, Path) else "wrong",
        f"{shown(asked)} is at revision {found}, this program's is {newest}",
        f"Make a backup, then: {upgrade}",
    )
