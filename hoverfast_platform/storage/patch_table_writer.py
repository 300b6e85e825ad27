"""Writes training sets with PyTables, as the published HoverFast trainer reads them.

What segments, judges or trains reads them without PyTables: ``patch_table``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import tables

from hoverfast_platform.errors import ArrayContractError, StorageError, TrainingError
from hoverfast_platform.files import Sha256, reporting_storage, written_atomically
from hoverfast_platform.storage.hdf5_arrays import open_hdf5
from hoverfast_platform.storage.patch_table import (
    LabelProvenance,
    Patch,
    PatchTable,
    split_into_pieces,
)

_FORMAT = "hoverfast_platform patch table 1"
_COMPRESSION = tables.Filters(complevel=5, complib="blosc:zstd", shuffle=True)
_MAX_NUCLEI = np.iinfo(np.uint16).max
_FULL_DISK = (tables.HDF5ExtError,)
"""What PyTables raises where a file cannot be written."""
_NOT_WHOLE = "was read back after it was written, and is not whole."
_RUN_AGAIN = "Usually a network share or a disk lost bytes of it. Nothing was published; run again."


class _PatchRow(tables.IsDescription):  # type: ignore[misc]
    source = tables.StringCol(256, pos=0)
    group = tables.StringCol(128, pos=1)
    x0_px = tables.Int64Col(pos=2)
    y0_px = tables.Int64Col(pos=3)
    width_px = tables.Int32Col(pos=4)
    height_px = tables.Int32Col(pos=5)
    n_nuclei = tables.Int32Col(pos=6)
    weight = tables.Float32Col(pos=7)


class PatchTableWriter:
    """Writes a patch table; it appears under its name when the block ends without error.

    Args:
        path: The file.
        mpp: Micrometres per pixel of all its images.
        patch_px: Side of the patches. Larger images are cut, smaller ones stored with a
            border of white that readers here leave out.
        provenance: What the labels come from.
    """

    def __init__(
        self, path: Path, *, mpp: float, patch_px: int, provenance: LabelProvenance
    ) -> None:
        self.path = path
        self.mpp = mpp
        self.patch_px = patch_px
        self._provenance = provenance.model_dump_json()
        self._numpixels = np.array([[0, 1], [0, 0]], dtype=np.int64)
        self._hash = Sha256()
        self._hash.add(f"{_FORMAT} {mpp!r}")
        self._stored = Sha256()
        self.n_patches = 0
        self.n_nuclei = 0

    def __enter__(self) -> Self:
        self._writing = self._written()
        self._writing.__enter__()
        return self

    @contextlib.contextmanager
    def _written(self) -> Iterator[None]:
        with written_atomically(self.path) as part, reporting_storage(self.path, *_FULL_DISK):
            self._file = tables.open_file(str(part), "w")
            try:
                self._create_arrays()
                yield
                self._refuse_empty()
                self._describe()
                self._file.close()
                self._read_back(part)
            except BaseException:
                # Closing flushes, which may fail again; the first error is the one reported.
                with contextlib.suppress(*_FULL_DISK):
                    self._file.close()
                raise

    def _read_back(self, part: Path) -> None:
        """Compare the file with what was written: HDF5 keeps some failures to itself."""
        found = Sha256()
        try:
            with open_hdf5(part) as file:
                arrays = file.array("img"), file.array("label")
                for i in range(self.n_patches):
                    for array in arrays:
                        found.add(array.item(i).tobytes())
            is_same = PatchTable(part).digest == self._hash.hex()
        except StorageError as error:
            raise StorageError(f"{self.path} {_NOT_WHOLE}", _RUN_AGAIN) from error
        if not is_same or found.hex() != self._stored.hex():
            raise StorageError(f"{self.path} {_NOT_WHOLE}", _RUN_AGAIN)

    def _create_arrays(self) -> None:
        root, p = self._file.root, self.patch_px
        self._img = self._file.create_earray(
            root, "img", tables.UInt8Atom(), (0, p, p, 3), chunkshape=(1, p, p, 3),
            filters=_COMPRESSION,
        )  # fmt: skip
        self._label = self._file.create_earray(
            root, "label", tables.UInt16Atom(), (0, p, p), chunkshape=(1, p, p),
            filters=_COMPRESSION,
        )  # fmt: skip
        self._rows = self._file.create_table(root, "patches", _PatchRow, filters=_COMPRESSION)

    def _describe(self) -> None:
        attributes = self._file.root._v_attrs
        attributes.format = _FORMAT
        attributes.mpp = self.mpp
        attributes.provenance = self._provenance
        attributes.digest = self._hash.hex()
        self._file.create_array(self._file.root, "numpixels", self._numpixels)

    def append(self, patch: Patch) -> None:
        """Add an image, cut into patches if it is larger than one.

        Raises:
            ArrayContractError: If image and instance map differ in size or are of wrong type.
            StorageError: If the file cannot be written.
        """
        if patch.image.ndim != 3 or patch.image.shape[2] != 3 or patch.image.dtype != np.uint8:
            raise ArrayContractError(
                f"{patch.source}: image must be (H, W, 3) uint8, got {patch.image.shape} "
                f"{patch.image.dtype}."
            )
        if patch.image.shape[:2] != patch.instance_map.shape:
            raise ArrayContractError(
                f"{patch.source}: image is {patch.image.shape[:2]}, label is "
                f"{patch.instance_map.shape}; they must be of one size.",
                "The label belongs to another image or another magnification.",
            )
        p = self.patch_px
        for y0 in range(0, patch.image.shape[0], p):
            for x0 in range(0, patch.image.shape[1], p):
                self._append_one(patch, x0, y0)

    def _append_one(self, patch: Patch, x0: int, y0: int) -> None:
        p = self.patch_px
        image = patch.image[y0 : y0 + p, x0 : x0 + p]
        pieces = split_into_pieces(patch.instance_map[y0 : y0 + p, x0 : x0 + p])
        n_nuclei = int(pieces.max(initial=0))
        if n_nuclei > _MAX_NUCLEI:
            raise TrainingError(
                f"{patch.source} has {n_nuclei} nuclei in one patch of {p} px; labels hold "
                f"{_MAX_NUCLEI}.",
                "That many are specks: the label image is a texture, not nuclei.",
            )
        height, width = pieces.shape
        border = ((0, p - height), (0, p - width))
        row = (patch.source.encode(), patch.group.encode(), patch.x0_px + x0, patch.y0_px + y0,
               width, height, n_nuclei, patch.weight)  # fmt: skip
        with reporting_storage(self.path, *_FULL_DISK):
            stored = np.pad(image, (*border, (0, 0)), constant_values=255)
            stored_label = np.pad(pieces, border).astype(np.uint16)
            self._img.append(stored[None])
            self._label.append(stored_label[None])
            self._rows.append([row])
        self._numpixels[1] += (np.sum(pieces == 0), np.sum(pieces > 0))
        self._stored.add(stored.tobytes())
        self._stored.add(stored_label.tobytes())
        for part in (image, pieces.astype(np.uint16)):
            self._hash.add(np.ascontiguousarray(part).tobytes())
        self._hash.add(repr(row))
        self.n_patches += 1
        self.n_nuclei += n_nuclei

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._writing.__exit__(kind, error, traceback)

    def _refuse_empty(self) -> None:
        if self.n_patches == 0:
            raise TrainingError(
                f"{self.path}: no images, so there is nothing to learn from.",
                "The cohort is empty, or every slide was left out.",
            )
