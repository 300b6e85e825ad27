"""Tile blocks: the finished parts of a segmentation that is not finished yet.

A block holds the nuclei of some consecutive tiles. A killed run leaves its blocks, the next
one goes on after them; they are removed once the result is published.
"""

from __future__ import annotations

import io
import json
import logging
import uuid
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
from isal import igzip

from hoverfast_platform.errors import StorageError
from hoverfast_platform.file_system_errors import file_system_failed
from hoverfast_platform.files import reporting_storage, write_text, written_atomically
from hoverfast_platform.nuclei.nucleus import Nuclei
from hoverfast_platform.storage.geojson import FeaturesPart, deflate_features
from hoverfast_platform.storage.gzip_parts import DEFLATE_ERROR
from hoverfast_platform.storage.qupath_validation import validate_features
from hoverfast_platform.sure_steps import remove_folder

_LOG = logging.getLogger(__name__)
_MEASUREMENT = "measurement:"
_ENDING = ".npz.gz"
_LEVEL = 1
"""isal's: a fifteenth of the time of numpy's own compression, for a sixth more bytes."""


class BlockStore:
    """The blocks of one segmentation, in a folder of their own.

    Args:
        folder: Made if need be.
        identity: Segmentation id; a folder that holds another one's blocks is refused.

    Raises:
        StorageError: If the folder belongs to another segmentation or cannot be written.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        self.folder = folder
        marker = folder / "segmentation_id"
        with reporting_storage(marker):
            folder.mkdir(parents=True, exist_ok=True)
            if not marker.exists():
                write_text(marker, identity)
            found = marker.read_text(encoding="utf-8")
        if found != identity:
            raise StorageError(
                f"{folder} holds blocks of segmentation {found}, expected {identity}.",
                "Remove that folder.",
            )

    def _path(self, index: int) -> Path:
        return self.folder / f"block-{index:06d}{_ENDING}"

    def write(self, index: int, nuclei: Nuclei, statistics: dict[str, float]) -> None:
        """Store a block; an existing one is replaced.

        Raises:
            StorageError: If it cannot be written.
        """
        arrays = {_MEASUREMENT + name: column for name, column in nuclei.measurements.items()}
        plain = io.BytesIO()
        np.savez(
            plain,
            centroid_xy=nuclei.centroid_xy,
            vertices_xy=nuclei.vertices_xy,
            ring_starts=nuclei.ring_starts,
            tile_index=nuclei.tile_index,
            decimals=np.array(nuclei.decimals),
            statistics=np.frombuffer(json.dumps(statistics).encode(), dtype=np.uint8),
            **arrays,
        )
        with written_atomically(self._path(index)) as part:
            part.write_bytes(igzip.compress(plain.getvalue(), _LEVEL))

    def read(self, index: int) -> tuple[Nuclei, dict[str, float]]:
        """A finished block; checksums are verified.

        Raises:
            StorageError: If it is missing or damaged.
        """
        path = self._path(index)
        try:
            with np.load(io.BytesIO(igzip.decompress(path.read_bytes()))) as stored:
                nuclei = Nuclei(
                    centroid_xy=stored["centroid_xy"],
                    vertices_xy=stored["vertices_xy"],
                    ring_starts=stored["ring_starts"],
                    tile_index=stored["tile_index"],
                    decimals=int(stored["decimals"]),
                    measurements={
                        name.removeprefix(_MEASUREMENT): stored[name]
                        for name in stored.files
                        if name.startswith(_MEASUREMENT)
                    },
                )
                statistics = json.loads(stored["statistics"].tobytes())
        except (
            OSError,
            EOFError,
            ValueError,
            KeyError,
            zipfile.BadZipFile,
            DEFLATE_ERROR,
        ) as error:
            raise StorageError(f"{path} is damaged: {error}", "Remove it and run again.") from error
        return nuclei, statistics

    def write_features(
        self, index: int, namespace: uuid.UUID, *, width: float, height: float
    ) -> npt.NDArray[np.uint8]:
        """Store a finished block's part of the GeoJSON file beside it, and read it back.

        Not flushed to the disk: a run that was killed makes them anew.

        Args:
            index: Number of the block.
            namespace: Namespace of the nuclei's ids.
            width: Width of the slide's frame, level-0 pixels.
            height: Height of the slide's frame, level-0 pixels.

        Returns:
            ``(N, 16)`` the bytes of the nuclei's ids, as they were read back.

        Raises:
            StorageError: If the block is damaged, the part cannot be written, or QuPath would
                not import what was read back.
        """
        path = self._features_path(index)
        with reporting_storage(path):
            path.write_bytes(deflate_features(self.read(index)[0], namespace).stored())
        lines = self.read_features(index).lines()
        ids = validate_features(lines, name=path.name, width=width, height=height)
        return np.frombuffer(b"".join(ids), np.uint8).reshape(-1, 16)

    def read_features(self, index: int) -> FeaturesPart:
        """What :meth:`write_features` stored; publishing finds out if it was damaged since."""
        path = self._features_path(index)
        try:
            return FeaturesPart.read(path.read_bytes())
        except OSError as error:
            raise StorageError(f"{path} is missing: {error}", "Run again.") from error

    def _features_path(self, index: int) -> Path:
        return self.folder / f"features-{index:06d}"

    def finished(self) -> frozenset[int]:
        """Indices of whole blocks; damaged ones are removed, so that they are made again.

        Raises:
            ShareUnavailableError: If a share fails while they are read.
        """
        whole = set()
        for path in sorted(self.folder.glob(f"block-*{_ENDING}")):
            index = int(path.name.removeprefix("block-").removesuffix(_ENDING))
            try:
                self.read(index)
            except StorageError as error:
                if (named := file_system_failed(error)) is not None:  # the block may be whole
                    raise named from error
                _LOG.warning("%s It will be made again.", error)
                path.unlink(missing_ok=True)
            else:
                whole.add(index)
        return frozenset(whole)

    def remove(self) -> None:
        """Delete all blocks and the folder."""
        remove_folder(self.folder)
