"""The computation of one segmentation: tiles to blocks, blocks to the files of a result."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import functools
import math
import time
import uuid
from concurrent.futures import Future
from pathlib import Path

from hoverfast_platform.arrays import PredictedMaps
from hoverfast_platform.config import SegmentationSettings
from hoverfast_platform.errors import StorageError
from hoverfast_platform.files import reporting_storage
from hoverfast_platform.geometry import ModelLattice
from hoverfast_platform.inference.adapted_model import AdaptedModel
from hoverfast_platform.inference.block_writer import BlockWriter, Ids
from hoverfast_platform.inference.engine import SegmentationEngine
from hoverfast_platform.inference.result_files import ResultFiles
from hoverfast_platform.inference.workers import PhaseSeconds, RegionNuclei
from hoverfast_platform.mask.border_distance import BorderDistance
from hoverfast_platform.mask.tissue_mask import TissueMask
from hoverfast_platform.nuclei.nucleus import Nuclei, measurement_columns
from hoverfast_platform.progress import OnProgress, Progress
from hoverfast_platform.provenance import Provenance
from hoverfast_platform.slide.reader import SlideReader
from hoverfast_platform.stain import StainNormalisation
from hoverfast_platform.storage.blocks import BlockStore
from hoverfast_platform.storage.geojson import join_features
from hoverfast_platform.storage.nuclei_table import (
    measurement_distributions,
    read_measurement,
)
from hoverfast_platform.storage.publish import (
    QUPATH,
    QUPATH_ZIP,
)
from hoverfast_platform.storage.qupath_shards import write_qupath_zip
from hoverfast_platform.storage.summary import DabPositivity, Seams, SegmentationSummary
from hoverfast_platform.tiling import Tile, TilePlan, plan_tiles

TILES_PER_BLOCK = 8
"""What a killed run loses at most: half a minute on two CPU cores. On a GPU it is what is left to
write after the last tile."""


class SlideJob:
    """The computation of one segmentation: tiles to blocks, blocks to staged files."""

    def __init__(  # what segment_slide has gathered, once
        self,
        reader: SlideReader,
        tissue: TissueMask,
        engine: SegmentationEngine,
        settings: SegmentationSettings,
        provenance: Provenance,
        folder: Path,
    ) -> None:
        self.reader, self.tissue, self.engine = reader, tissue, engine
        self.settings, self.provenance = settings, provenance
        self.border_distance = BorderDistance(tissue)
        self.columns = measurement_columns(settings.staining.stain)
        self.staging_dir = folder
        self.blocks = BlockStore(folder, provenance.segmentation_id)
        self.namespace = uuid.UUID(provenance.segmentation_id)
        info = reader.info
        self.lattice = ModelLattice.of(
            width=info.width,
            height=info.height,
            slide_mpp=info.mpp,
            model_mpp=engine.model.card.mpp,
        )

        self.plan: TilePlan = plan_tiles(
            self.lattice, settings.tiling, self._is_wanted, engine.field_of_view
        )

    def _is_wanted(self, x0: float, y0: float, x1: float, y1: float) -> bool:
        return self.tissue.touches(x0=x0, y0=y0, x1=x1, y1=y1)

    def _has_tissue(self, x0: float, y0: float, x1: float, y1: float) -> bool:
        """Regions do not count here: the model sees the slide's stains as without them."""
        return self.tissue.unrestricted.touches(x0=x0, y0=y0, x1=x1, y1=y1)

    def compute(
        self,
        on_progress: OnProgress,
        warnings: tuple[str, ...],
        run_id: str,
        qupath_zip_above: int,
    ) -> SegmentationSummary:
        """All blocks, then the files of the result in the staging folder."""
        started = time.perf_counter()
        finished = self.blocks.finished()
        todo = [tile for tile in self.plan.tiles if tile.index // TILES_PER_BLOCK not in finished]
        n_resumed = len(self.plan.tiles) - len(todo)
        model = self.engine.for_slide(
            self.reader, self.lattice, self._has_tissue, self.settings.staining.stain
        )
        normalisation = model.normalisation
        files = ResultFiles(self.staging_dir, self.reader, self.tissue, self.plan)
        with (
            self.engine.dead_workers_reported(),
            contextlib.closing(files),
            self._block_writer(files) as writer,
        ):
            writer.run(files.begin, self.columns, self.provenance)
            for block in sorted(finished):  # of a run that was killed
                writer.take_finished(block)
            seconds = (
                self._compute_blocks(todo, model, writer, on_progress) if todo else PhaseSeconds()
            )
            del model  # what was compiled for this slide is not needed beside its files
            writing = time.perf_counter()
            writer.finish()
            writer.run(files.finish)
            self._join_features(files.n_nuclei, with_zip=files.n_nuclei > qupath_zip_above)
            writer.finish()
        summary = self._summary(files, normalisation, warnings, n_resumed)
        ended = time.perf_counter()
        area = summary.tissue_area_mm2
        timings = {
            "total": ended - started,
            **dataclasses.asdict(seconds),
            "write": ended - writing,
        }
        return summary.model_copy(
            update={
                "seconds": {phase: round(value, 3) for phase, value in timings.items()},
                # A resumed run did only a part: its time says nothing about the slide.
                "seconds_per_mm2": (ended - started) / area if area and not n_resumed else None,
                "run_id": run_id,
            }
        )

    def _block_writer(self, files: ResultFiles) -> BlockWriter:
        return BlockWriter(
            len(self.plan.tiles),
            TILES_PER_BLOCK,
            write_block=self._write_block,
            make_features=self._make_features,
            add_block=functools.partial(files.add, self.blocks),
        )

    def _compute_blocks(
        self,
        todo: list[Tile],
        model: AdaptedModel[PredictedMaps],
        writer: BlockWriter,
        on_progress: OnProgress,
    ) -> PhaseSeconds:
        n_total, seconds = len(self.plan.tiles), PhaseSeconds()
        n_resumed = n_total - len(todo)
        on_progress(Progress("segmenting", n_resumed, n_total))
        regions = self.engine.regions(self.reader, self.plan, todo, self.settings, model)
        with contextlib.closing(regions):
            for n_done, (tile, region) in enumerate(regions, start=n_resumed + 1):
                writer.take(tile.index, region)
                seconds += region.seconds
                on_progress(Progress("segmenting", n_done, n_total))
        return seconds

    def _make_features(self, block: int) -> Future[Ids]:
        """Have a worker make the block's part of the GeoJSON file while others are predicted."""
        info = self.reader.info
        return self.engine.worker_pool().submit_features(
            self.blocks, block, self.namespace, width=info.width, height=info.height
        )

    def _write_block(self, block: int, regions: dict[int, RegionNuclei]) -> None:
        ordered = [regions[index] for index in sorted(regions)]
        nuclei = Nuclei.concatenate([region.nuclei for region in ordered])
        nuclei = nuclei.take(self.tissue.contains(nuclei.centroid_xy))
        border_um = self.border_distance.um(nuclei.centroid_xy)
        nuclei = nuclei.with_column("mask_border_um", border_um)
        n_dropped = sum(region.n_dropped_invalid for region in ordered)
        self.blocks.write(block, nuclei, {"n_dropped_invalid": float(n_dropped)})

    def _join_features(self, n_nuclei: int, *, with_zip: bool) -> None:
        provenance = self.provenance.model_dump(mode="json")
        n_blocks = math.ceil(len(self.plan.tiles) / TILES_PER_BLOCK)
        path = self.staging_dir / f"result{QUPATH}"
        with reporting_storage(path):
            parts = map(self.blocks.read_features, range(n_blocks))
            n = join_features(path, parts, provenance=provenance)
        path = self.staging_dir / f"result{QUPATH_ZIP}"
        with reporting_storage(path):
            path.unlink(missing_ok=True)  # of a run that was killed
            if with_zip:
                parts = map(self.blocks.read_features, range(n_blocks))
                write_qupath_zip(path, parts, provenance=provenance)
        if n != n_nuclei:
            raise StorageError(f"{n} nuclei were written, {n_nuclei} expected.", "Run again.")

    def _summary(
        self,
        files: ResultFiles,
        normalisation: StainNormalisation,
        warnings: tuple[str, ...],
        n_resumed: int,
    ) -> SegmentationSummary:
        n_nuclei = files.n_nuclei
        table_path, staining = files.table_path, self.settings.staining
        tissue_mm2 = self.tissue.tissue_area_mm2
        return SegmentationSummary(
            provenance=self.provenance,
            n_nuclei=n_nuclei,
            tissue_area_mm2=tissue_mm2,
            stain_factors=normalisation.factors,
            exposure_gain=normalisation.gain,
            tissue_fraction=self.tissue.tissue_fraction,
            nuclei_per_mm2=n_nuclei / tissue_mm2 if tissue_mm2 else None,
            distributions=measurement_distributions(table_path, self.columns),
            dab=DabPositivity.of(read_measurement(table_path, "dab_od_mean"), staining)
            if staining.stain == "ihc_dab"
            else None,
            n_dropped_invalid=files.n_dropped_invalid,
            n_tiles=len(self.plan.tiles),
            n_tiles_resumed=n_resumed,
            seams=Seams.of(files.seam_audit()),
            warnings=warnings,
            finished_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        )
