"""Training sets: images and instance labels in one PyTables (HDF5) file, read without PyTables.

The arrays ``img``, ``label`` and ``numpixels`` are those of the published HoverFast trainer,
so it reads our files and we read its. Beside them a table ``patches`` says where each patch
comes from, and attributes hold the mpp and full provenance. ``patch_table_writer`` writes them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field
from skimage.measure import label as connected_pieces

from hoverfast_platform.arrays import InstanceMap, RgbImage
from hoverfast_platform.config import FileRecord
from hoverfast_platform.errors import StorageError, TrainingError
from hoverfast_platform.files import file_sha256
from hoverfast_platform.model.card import LabelSource
from hoverfast_platform.storage.hdf5_arrays import Hdf5Array, Hdf5File, open_hdf5
from hoverfast_platform.version import __version__


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
