"""Reading arrays and attributes from an HDF5 file that somebody else may have written.

PyTables unpickles every attribute of the root group when it opens a file, and object arrays when
it reads them, and a pickle runs code. So files are written with PyTables, which the published
trainer reads, and read with h5py, which never unpickles. What a file can make h5py fetch from
elsewhere (external links, external storage, virtual arrays) is refused.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
from numcodecs.blosc import Blosc

from hoverfast_platform.errors import HoverFastError, StorageError
from hoverfast_platform.stand_ins import refuse_stand_in

_BLOSC = 32001
"""Number of PyTables' usual filter, which h5py does not bring."""
_MAX_ITEM_BYTES = 2**30
"""Most bytes of one patch or of one table of rows: an image of 16,000 x 16,000 px has less."""


class Hdf5File:
    """An open HDF5 file, read without running anything that is in it.

    Args:
        path: The file, for messages.
        file: Opened by :func:`open_hdf5`.
    """

    def __init__(self, path: Path, file: h5py.File) -> None:
        self._path, self._file = path, file

    def __contains__(self, name: str) -> bool:
        return name in self._file

    def attribute(self, name: str) -> str | float | None:
        """A text or number of the root group; None if there is none.

        A pickled object comes as the text that it is on disk.

        Raises:
            StorageError: If it is anything else.
        """
        if name not in self._file.attrs:
            return None
        value = self._file.attrs[name]
        if isinstance(value, bytes):  # how PyTables keeps a text
            return value.decode()
        if isinstance(value, str):
            return str(value)
        if isinstance(value, np.integer | np.floating):
            return float(value)
        raise StorageError(
            f"{self._path}: the attribute {name} is neither a text nor a number.",
            "The file is damaged; make the training set again.",
        )

    def array(self, name: str) -> Hdf5Array:
        """An array of the root group.

        Raises:
            StorageError: If there is none of that name, or it is of a kind that is refused.
        """
        if not isinstance(self._file.get(name, getlink=True), h5py.HardLink):
            raise StorageError(f"{self._path} has no array {name} of its own.")
        found = self._file[name]
        is_plain = isinstance(found, h5py.Dataset) and found.dtype.kind in "iufSV"
        if not is_plain or found.dtype.hasobject or found.is_virtual or found.external:
            raise StorageError(
                f"{self._path}: {name} is not an array of numbers in this file.",
                "Arrays of objects could run code and are never read; make the training set again.",
            )
        return Hdf5Array(self._path, name, found)


class Hdf5Array:
    """An array of numbers or rows in an open file."""

    def __init__(self, path: Path, name: str, dataset: h5py.Dataset) -> None:
        self._path, self._name, self._dataset = path, name, dataset
        self.shape: tuple[int, ...] = dataset.shape
        self.dtype: np.dtype[Any] = dataset.dtype

    def all(self) -> npt.NDArray[Any]:
        """The whole array.

        Raises:
            StorageError: If it is larger than it can honestly be, or damaged.
        """
        self._refuse_above(int(np.prod(self.shape)))
        if not self._is_blosc:
            return np.asarray(self._dataset[()])
        return self._decoded((slice(None),) * len(self.shape))

    def item(self, i: int) -> npt.NDArray[Any]:
        """``array[i]``.

        Raises:
            StorageError: If it is larger than it can honestly be, or damaged.
        """
        self._refuse_above(int(np.prod(self.shape[1:])))
        if not self._is_blosc:
            return np.asarray(self._dataset[i])
        rest = (slice(None),) * (len(self.shape) - 1)
        return self._decoded((slice(i, i + 1), *rest)).reshape(self.shape[1:])

    def _refuse_above(self, n_values: int) -> None:
        chunk = int(np.prod(self._dataset.chunks or (1,)))
        n_bytes = max(n_values, chunk) * self.dtype.itemsize
        if n_bytes > _MAX_ITEM_BYTES:
            raise StorageError(
                f"{self._path}: {self._name} asks for {n_bytes / 2**30:.1f} GiB at once; "
                f"{_MAX_ITEM_BYTES / 2**30:.0f} GiB is allowed.",
                "The file is damaged, or its images must be cut into patches.",
            )

    @property
    def _is_blosc(self) -> bool:
        filters = self._dataset.id.get_create_plist()
        return any(filters.get_filter(k)[0] == _BLOSC for k in range(filters.get_nfilters()))

    def _decoded(self, wanted: tuple[slice, ...]) -> npt.NDArray[Any]:
        """Chunks that Blosc packed, as PyTables does by default here; one filter alone."""
        filters = self._dataset.id.get_create_plist()
        if filters.get_nfilters() != 1:
            raise StorageError(
                f"{self._path}: {self._name} is packed in a way that is not known here.",
                "Write it with Blosc alone, or with zlib.",
            )
        bounds = [part.indices(size) for part, size in zip(wanted, self.shape, strict=True)]
        out = np.zeros([stop - start for start, stop, _ in bounds], self.dtype)
        for chunk in self._dataset.iter_chunks(wanted):
            place = tuple(
                slice(part.start - start, part.stop - start)
                for part, (start, _, _) in zip(chunk, bounds, strict=True)
            )
            out[place] = self._chunk(chunk)
        return out

    def _chunk(self, chunk: tuple[slice, ...]) -> npt.NDArray[Any]:
        """The part of a chunk that ``chunk`` names."""
        sides = self._dataset.chunks
        origin = tuple(part.start // side * side for part, side in zip(chunk, sides, strict=True))
        mask, packed = self._dataset.id.read_direct_chunk(origin)
        n_bytes = int(np.prod(sides)) * self.dtype.itemsize
        plain = np.empty(n_bytes, np.uint8)
        if mask:  # stored as it is, since packing did not make it smaller
            plain[:] = np.frombuffer(packed, np.uint8)
        elif int.from_bytes(packed[4:8], "little") != n_bytes:  # what Blosc's header says
            raise OSError("a chunk is not as large as it should be")
        else:
            Blosc().decode(packed, out=plain)
        inside = tuple(
            slice(part.start - start, part.stop - start)
            for part, start in zip(chunk, origin, strict=True)
        )
        return plain.view(self.dtype).reshape(sides)[inside]


@contextlib.contextmanager
def open_hdf5(path: Path) -> Iterator[Hdf5File]:
    """Open an HDF5 file for reading.

    Raises:
        StorageError: If it is missing or damaged, then or while it is read.
    """
    try:
        # No lock: nobody writes a file under its final name, and network shares refuse locks.
        with h5py.File(path, "r", locking=False) as file:
            yield Hdf5File(path, file)
    except HoverFastError:
        raise
    except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        refuse_stand_in(path, "a training set", StorageError)
        raise StorageError(
            f"{path} cannot be read as a training set: {error}.",
            "Expected an HDF5 file with the arrays img, label and numpixels; it may be half "
            "copied.",
        ) from error
