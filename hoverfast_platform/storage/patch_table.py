"""Training sets: images and instance labels in one PyTables (HDF5) file.

The arrays ``img``, ``label`` and ``numpixels`` are those of the published HoverFast trainer,
so it reads our files and we read its. Beside them a table ``patches`` says where each patch
comes from, and attributes hold the mpp and full provenance.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import tables
from pydantic import Field
from skimage.measure import label as connected_pieces

from hoverfast_platform.arrays import InstanceMap, RgbImage
from hoverfast_platform.config import FileRecord
from hoverfast_platform.errors import ArrayContractError, StorageError, TrainingError
from hoverfast_platform.files import Sha256, file_sha256, reporting_storage, written_atomically
from hoverfast_platform.model.card import LabelSource
from hoverfast_platform.storage.hdf5_arrays import Hdf5Array, Hdf5File, open_hdf5
from hoverfast_platform.version import __version__

_FORMAT = "hoverfast_platform patch table 1"
_COMPRESSION = tables.Filters(complevel=5, complib="blosc:zstd", shuffle=True)
_MAX_NUCLEI = np.iinfo(np.uint16).max
_FULL_DISK = (tables.HDF5ExtError,)
"""What PyTables raises where a file cannot be written."""


class _PatchRow(tables.IsDescription):  # type: ignore[misc]
    source = tables.StringCol(256, pos=0)
    group = tables.StringCol(128, pos=1)
    x0_px = tables.Int64Col(pos=2)
    y0_px = tables.Int64Col(pos=3)
    width_px = tables.Int32Col(pos=4)
    height_px = tables.Int32Col(pos=5)
    n_nuclei = tables.Int32Col(pos=6)
    weight = tables.Float32Col(pos=7)


class LabelProvenance(FileRecord):
    """Where the labels of a training set come from; the students' cards repeat it."""

    teacher: str
    """What made the labels: ``people``, or the teacher's name."""
    teacher_digest: str = ""
    """SHA-256 of the teacher's weights."""
    labels: tuple[LabelSource, ...] = ()
    """Sets, their licences and what to cite."""
    teacher_models: tuple[str, ...] = ()
    """SHA-256 of each of our models that made the labels."""
    inherited: tuple[LabelSource, ...] = ()
    """Sets that those models learned from."""
    cohort: str = ""
    """Cohort and version the slides were taken from."""
    sampling: dict[str, float | int | str] = Field(default_factory=dict)
    """How tiles were chosen: seed, number per slide, tissue fraction, or what was rescaled."""
    code_version: str = __version__


@dataclass(frozen=True)
class Patch:
    """An image with its nuclei.

    Attributes:
        image: ``(H, W, 3)``.
        instance_map: ``(H, W)``, every nucleus one connected piece, numbered without gaps.
        source: Name of the image or slide it was taken from.
        group: What must not be split between training and validation: patient, else source.
        x0_px: Left edge in the source at the table's mpp.
        y0_px: Top edge likewise.
        weight: How often training draws from it, relative to others of its area.
    """

    image: RgbImage
    instance_map: InstanceMap
    source: str
    group: str
    x0_px: int = 0
    y0_px: int = 0
    weight: float = 1.0


def split_into_pieces(instance_map: npt.NDArray[np.integer[Any]]) -> InstanceMap:
    """Number the nuclei 1..N; an id in two places becomes two nuclei.

    Cutting a tile out of an image leaves some nuclei in two pieces, and label images drawn by
    hand hold stray pixels; one centre for two pieces would be a wrong target.
    """
    pieces: InstanceMap = connected_pieces(instance_map, background=0, connectivity=2).astype(
        np.int32
    )
    return pieces


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
            except BaseException:
                # Closing flushes, which may fail again; the first error is the one reported.
                with contextlib.suppress(*_FULL_DISK):
                    self._file.close()
                raise

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
            self._img.append(np.pad(image, (*border, (0, 0)), constant_values=255)[None])
            self._label.append(np.pad(pieces, border).astype(np.uint16)[None])
            self._rows.append([row])
        self._numpixels[1] += (np.sum(pieces == 0), np.sum(pieces > 0))
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


class PatchTable:
    """A patch table on disk; opened for each read, so it can be handed to other processes.

    Attributes:
        path: The file.
        mpp: Micrometres per pixel of the images.
        digest: SHA-256 over all images, labels and rows, hex; equal content, equal digest.
        provenance: What the writer was told.
        sources: ``(N,)`` names; ``groups``, ``weights``, ``n_nuclei``, ``sizes_px`` likewise.
    """

    def __init__(self, path: Path, *, mpp: float | None = None) -> None:
        """Read what is known about a patch table.

        Args:
            path: The file.
            mpp: For files of the published trainer, which do not say.

        Raises:
            StorageError: If the file is missing, damaged or not a patch table.
            TrainingError: If the file does not say its mpp and none was given.
        """
        self.path = path
        with open_hdf5(path) as file:
            self._read_description(file, mpp)

    def _read_description(self, file: Hdf5File, mpp: float | None) -> None:
        images, labels = file.array("img"), file.array("label")
        self._check_shapes(images, labels)
        n, height, width = labels.shape[:3]
        self.mpp: float = self._known_mpp(file.attribute("mpp"), mpp)
        self.numpixels: npt.NDArray[np.int64] = file.array("numpixels").all().astype(np.int64)
        if "patches" in file:
            rows = file.array("patches").all()
            self.sources = tuple(text.decode() for text in rows["source"])
            self.groups = tuple(text.decode() for text in rows["group"])
            self.weights = rows["weight"].astype(np.float64)
            self.n_nuclei = rows["n_nuclei"].astype(np.int64)
            self.sizes_px = np.stack([rows["width_px"], rows["height_px"]], axis=1)
            self.origins_px = np.stack([rows["x0_px"], rows["y0_px"]], axis=1)
            self.provenance = LabelProvenance.model_validate_json(str(file.attribute("provenance")))
            self.digest = str(file.attribute("digest"))
            self._check_rows(n, height, width)
        else:
            names = tuple(f"{self.path.stem}/{i}" for i in range(n))
            self.sources = self.groups = names
            self.weights = np.ones(n)
            self.n_nuclei = np.array([len(np.unique(labels.item(i))) - 1 for i in range(n)])
            self.sizes_px = np.tile([width, height], (n, 1))
            self.origins_px = np.zeros((n, 2), dtype=np.int64)
            self.provenance = LabelProvenance(teacher="unknown: a file of the published trainer")
            self.digest = file_sha256(self.path)

    def _check_shapes(self, images: Hdf5Array, labels: Hdf5Array) -> None:
        if len(labels.shape) < 3 or images.shape != (*labels.shape[:3], 3):
            raise StorageError(
                f"{self.path}: img is {images.shape}, label {labels.shape}; "
                "every label must match its image."
            )
        if images.dtype != np.uint8 or labels.dtype.kind not in "iu":
            raise StorageError(
                f"{self.path}: img is {images.dtype}, label {labels.dtype}; expected uint8 and "
                "whole numbers."
            )

    def _known_mpp(self, said: str | float | None, given: float | None) -> float:
        if said is None and given is None:
            raise TrainingError(
                f"{self.path} does not say its micrometres per pixel.",
                "Files of the published trainer do not; give --mpp (they were made at 0.25).",
            )
        known = given if said is None else said
        if not isinstance(known, float) or not 0 < known < np.inf:
            raise StorageError(
                f"{self.path} says it has {known!r} micrometres per pixel, not a positive number.",
                "A pickled object could run code and is never read; make the training set again.",
            )
        return known

    def _check_rows(self, n: int, height: int, width: int) -> None:
        sizes = self.sizes_px
        fits = len(self) == n and bool((sizes > 0).all() and (sizes <= [width, height]).all())
        if not fits or not np.isfinite(self.weights).all():
            raise StorageError(
                f"{self.path}: the table of patches does not match the {n} images.",
                "The file is damaged; make the training set again.",
            )

    def __len__(self) -> int:
        return len(self.sources)

    def __iter__(self) -> Iterator[Patch]:
        return (self.read(i) for i in range(len(self)))

    def read(self, i: int) -> Patch:
        """Patch ``i`` without its border of white.

        Raises:
            StorageError: If the file is damaged.
        """
        width, height = self.sizes_px[i]
        with open_hdf5(self.path) as file:
            image = file.array("img").item(i)[:height, :width]
            label = file.array("label").item(i)
        return Patch(
            image=image,
            instance_map=split_into_pieces(label.reshape(label.shape[:2])[:height, :width]),
            source=self.sources[i],
            group=self.groups[i],
            x0_px=int(self.origins_px[i, 0]),
            y0_px=int(self.origins_px[i, 1]),
            weight=float(self.weights[i]),
        )
