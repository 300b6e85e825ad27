"""The files of a result that grow block by block while other tiles are still predicted.

Blocks are added in their order, whatever the order in which they were finished, so that equal
results are equal bytes; then little is left to do when the last tile is done.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hoverfast_platform.arrays import RgbImage
from hoverfast_platform.errors import StorageError
from hoverfast_platform.files import reporting_storage
from hoverfast_platform.mask.mask_file import mask_record, write_mask
from hoverfast_platform.mask.tissue_mask import TissueMask
from hoverfast_platform.nuclei.nucleus import Nuclei
from hoverfast_platform.nuclei.seams import SeamAudit, audit_seams, is_near_seam
from hoverfast_platform.provenance import Provenance
from hoverfast_platform.slide.reader import SlideReader
from hoverfast_platform.slide.thumbnail import read_thumbnail
from hoverfast_platform.storage.blocks import BlockStore
from hoverfast_platform.storage.nuclei_table import NucleiTableWriter
from hoverfast_platform.storage.previews import draw_mask, draw_on, encode_jpeg
from hoverfast_platform.storage.publish import MASK, PREVIEW, TABLE
from hoverfast_platform.tiling import TilePlan

_PREVIEW_PX = 2048


class ResultFiles:
    """Table and preview of a slide, and what is counted over all its nuclei.

    Attributes:
        n_nuclei: Number of nuclei of the blocks added so far.
        n_dropped_invalid: Nuclei of theirs for which no valid polygon could be written.
    """

    def __init__(
        self, folder: Path, reader: SlideReader, tissue: TissueMask, plan: TilePlan
    ) -> None:
        self.table_path, self._preview_path = folder / f"result{TABLE}", folder / f"result{PREVIEW}"
        self._mask_path = folder / f"result{MASK}"
        self._reader, self._tissue, self._plan = reader, tissue, plan
        self._picture: RgbImage = np.empty((1, 1, 3), np.uint8)
        self._table: NucleiTableWriter | None = None
        self._near_seams: list[Nuclei] = []
        self._ids: list[npt.NDArray[np.uint8]] = []
        self._slide_sha256 = ""
        self.n_nuclei, self.n_dropped_invalid = 0, 0

    def begin(self, columns: Sequence[str], provenance: Provenance) -> None:
        """Open the table and read the thumbnail."""
        self._slide_sha256 = provenance.slide.sha256
        with reporting_storage(self.table_path):
            metadata = provenance.model_dump(mode="json")
            self._table = NucleiTableWriter(self.table_path, columns, metadata)
        thumbnail = read_thumbnail(self._reader, _PREVIEW_PX)
        self._picture = draw_mask(thumbnail, self._tissue.is_tissue)

    def add(self, blocks: BlockStore, index: int, ids: npt.NDArray[np.uint8]) -> None:
        """Add the next block, whose nuclei have these ids in the QuPath file."""
        assert self._table is not None
        nuclei, statistics = blocks.read(index)
        self._near_seams.append(nuclei.take(is_near_seam(nuclei.centroid_xy, self._plan)))
        self._ids.append(ids)
        self.n_nuclei += len(nuclei)
        self.n_dropped_invalid += int(statistics["n_dropped_invalid"])
        with reporting_storage(self.table_path):
            self._table.write(nuclei, ids)
        height, width = self._picture.shape[:2]
        info = self._reader.info
        draw_on(self._picture, nuclei, scale_x=info.width / width, scale_y=info.height / height)

    def finish(self) -> None:
        """End the table, write the preview.

        Raises:
            StorageError: If two nuclei have the same id, or a file cannot be written.
        """
        self._check_ids()
        assert self._table is not None
        with reporting_storage(self.table_path):
            self._table.close()
        self._table = None
        with reporting_storage(self._preview_path):
            self._preview_path.write_bytes(encode_jpeg(self._picture, max_side_px=_PREVIEW_PX))
        self._write_mask()

    def _write_mask(self) -> None:
        """Keep where nuclei were looked for; without names of files, which may say whose it is."""
        mask = replace(self._tissue, provenance={}, warnings=())
        write_mask(self._mask_path, mask, mask_record(mask, "", self._slide_sha256))

    def close(self) -> None:
        """Let go of a table that was not finished; why it was not is told elsewhere."""
        table, self._table = self._table, None
        if table is not None:
            with contextlib.suppress(OSError):
                table.close()

    def seam_audit(self) -> SeamAudit:
        """Compare nuclei near seams with the others, over all blocks."""
        near = Nuclei.concatenate(self._near_seams)
        return audit_seams(near, self.n_nuclei - len(near), self._plan)

    def _check_ids(self) -> None:
        ids = np.concatenate([np.empty((0, 16), np.uint8), *self._ids])
        n_different = len(np.unique(ids[:, :8].copy().view(np.uint64)))
        if n_different < len(ids):  # two that begin alike, which alone is not a fault
            n_different = len(np.unique(ids.view("V16")))
        if n_different != self.n_nuclei:
            raise StorageError(
                f"{self.n_nuclei} nuclei have {n_different} ids.",
                "Run again; if it happens again, please report it.",
            )
