"""The computation of one segmentation: tiles to blocks, blocks to the files of a result."""

from __future__ import annotations

import datetime
import math
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from hoverfast_platform.config import SegmentationSettings
from hoverfast_platform.errors import StorageError
from hoverfast_platform.files import storage_error
from hoverfast_platform.geometry import ModelLattice
from hoverfast_platform.inference.engine import PhaseSeconds, SegmentationEngine
from hoverfast_platform.inference.slide_predictor import SlidePredictor
from hoverfast_platform.inference.workers import RegionNuclei
from hoverfast_platform.mask.border_distance import BorderDistance
from hoverfast_platform.mask.tissue_mask import TissueMask
from hoverfast_platform.nuclei.nucleus import Nuclei, measurement_columns
from hoverfast_platform.nuclei.seams import audit_seams, is_near_seam
from hoverfast_platform.progress import OnProgress, Progress
from hoverfast_platform.slide.reader import SlideReader
from hoverfast_platform.slide.thumbnail import read_thumbnail
from hoverfast_platform.stain import StainNormalisation
from hoverfast_platform.storage.blocks import BlockStore
from hoverfast_platform.storage.geojson import FeaturesPart, join_features
from hoverfast_platform.storage.nuclei_table import (
    measurement_distributions,
    read_measurement,
    write_nuclei_table,
)
from hoverfast_platform.storage.previews import draw_mask, draw_nuclei, encode_jpeg
from hoverfast_platform.storage.publish import (
    PREVIEW,
    QUPATH,
    QUPATH_ZIP,
    TABLE,
)
from hoverfast_platform.storage.qupath_shards import write_qupath_zip
from hoverfast_platform.storage.summary import DabPositivity, Provenance, Seams, SegmentationSummary
from hoverfast_platform.tiling import Tile, TilePlan, plan_tiles

TILES_PER_BLOCK = 16
"""What a killed run loses at most: under a minute on two CPU cores."""


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
        self.features: dict[int, Future[None]] = {}
        info = reader.info
        self.lattice = ModelLattice.of(
            width=info.width,
            height=info.height,
            slide_mpp=info.mpp,
            model_mpp=engine.model.card.mpp,
        )

        self.plan: TilePlan = plan_tiles(
            self.lattice, settings.tiling, self._has_tissue, engine.field_of_view
        )

    def _has_tissue(self, x0: float, y0: float, x1: float, y1: float) -> bool:
        return self.tissue.touches(x0=x0, y0=y0, x1=x1, y1=y1)

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
        predictor = self.engine.for_slide(
            self.reader, self.lattice, self._has_tissue, self.settings.staining.stain
        )
        normalisation = predictor.normalisation
        with self.engine.dead_workers_reported():
            seconds = (
                self._compute_blocks(todo, predictor, n_resumed, on_progress)
                if todo
                else PhaseSeconds()
            )
            del predictor  # what was compiled for this slide is not needed beside its files
            for block in sorted(finished):  # of a run that was killed
                self._begin_features(block)
        writing = time.perf_counter()
        summary = self._stage(normalisation, warnings, n_resumed, qupath_zip_above)
        ended = time.perf_counter()
        area = summary.tissue_area_mm2
        timings = {
            "total": ended - started,
            "read": seconds.read,
            "predict": seconds.predict,
            "decode": seconds.decode,
            "contour": seconds.contour,
            "measure": seconds.measure,
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

    def _compute_blocks(
        self, todo: list[Tile], predictor: SlidePredictor, n_done: int, on_progress: OnProgress
    ) -> PhaseSeconds:
        n_total = len(self.plan.tiles)
        waiting: dict[int, dict[int, RegionNuclei]] = {}
        writes: dict[Future[None], int] = {}
        on_progress(Progress("segmenting", n_done, n_total))
        with ThreadPoolExecutor(1, thread_name_prefix="write") as writer:

            def take(tile: Tile, region: RegionNuclei) -> None:
                nonlocal n_done
                block = tile.index // TILES_PER_BLOCK
                waiting.setdefault(block, {})[tile.index] = region
                first = block * TILES_PER_BLOCK
                if len(waiting[block]) == min(TILES_PER_BLOCK, n_total - first):
                    writes[writer.submit(self._write_block, block, waiting.pop(block))] = block
                for write in [w for w in writes if w.done()]:
                    finish(write)
                n_done += 1
                on_progress(Progress("segmenting", n_done, n_total))

            def finish(write: Future[None]) -> None:
                write.result()  # a failed write ends the slide now, not at the end
                self._begin_features(writes.pop(write))

            seconds = self.engine.run(self.reader, self.plan, todo, self.settings, predictor, take)
            for write in list(writes):
                finish(write)
        return seconds

    def _begin_features(self, block: int) -> None:
        """Have a worker make the block's part of the GeoJSON file while others are predicted."""
        pool = self.engine.worker_pool()
        self.features[block] = pool.submit_features(self.blocks, block, self.namespace)

    def _features(self, block: int) -> FeaturesPart:
        with self.engine.dead_workers_reported():
            self.features[block].result()
        return self.blocks.read_features(block)

    def _write_block(self, block: int, regions: dict[int, RegionNuclei]) -> None:
        ordered = [regions[index] for index in sorted(regions)]
        nuclei = Nuclei.concatenate([region.nuclei for region in ordered])
        nuclei = nuclei.take(self.tissue.contains(nuclei.centroid_xy))
        border_um = self.border_distance.um(nuclei.centroid_xy)
        nuclei = nuclei.with_column("mask_border_um", border_um)
        n_dropped = sum(region.n_dropped_invalid for region in ordered)
        self.blocks.write(block, nuclei, {"n_dropped_invalid": float(n_dropped)})

    def _blocks(self) -> range:
        return range(math.ceil(len(self.plan.tiles) / TILES_PER_BLOCK))

    def _read_blocks(self) -> Iterator[Nuclei]:
        for block in self._blocks():
            yield self.blocks.read(block)[0]

    def _stage(
        self,
        normalisation: StainNormalisation,
        warnings: tuple[str, ...],
        n_resumed: int,
        qupath_zip_above: int,
    ) -> SegmentationSummary:
        near: list[Nuclei] = []
        n_nuclei, n_dropped = 0, 0.0
        for block in self._blocks():
            nuclei, statistics = self.blocks.read(block)
            near.append(nuclei.take(is_near_seam(nuclei.centroid_xy, self.plan)))
            n_nuclei += len(nuclei)
            n_dropped += statistics["n_dropped_invalid"]
        near_seams = Nuclei.concatenate([Nuclei.empty(1, self.columns), *near])
        audit = audit_seams(near_seams, n_nuclei - len(near_seams), self.plan)
        self._write_files(n_nuclei, with_zip=n_nuclei > qupath_zip_above)
        table_path, staining = self.staging_dir / f"result{TABLE}", self.settings.staining
        tissue_mm2 = self.tissue.tissue_area_mm2
        predictor = self.engine.predictor
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
            n_dropped_invalid=int(n_dropped),
            n_tiles=len(self.plan.tiles),
            n_tiles_resumed=n_resumed,
            seams=Seams(
                n_near_seams=audit.n_near_seams,
                n_duplicates=audit.n_duplicates,
                density_ratio=None if math.isnan(audit.density_ratio) else audit.density_ratio,
            ),
            warnings=warnings,
            device=predictor.device,
            backend=predictor.backend,
            precision=predictor.precision,
            finished_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        )

    def _write_files(self, n_nuclei: int, *, with_zip: bool) -> None:
        provenance = self.provenance.model_dump(mode="json")
        namespace = self.namespace
        path = self.staging_dir / f"result{QUPATH}"
        try:
            n = join_features(path, map(self._features, self._blocks()), provenance=provenance)
            path = self.staging_dir / f"result{QUPATH_ZIP}"
            path.unlink(missing_ok=True)  # of a run that was killed
            if with_zip:
                write_qupath_zip(
                    path, self._read_blocks(), provenance=provenance, namespace=namespace
                )
            path = self.staging_dir / f"result{TABLE}"
            write_nuclei_table(
                path, self._read_blocks(), self.columns, metadata=provenance, namespace=namespace
            )
            path = self.staging_dir / f"result{PREVIEW}"
            path.write_bytes(self._preview())
        except OSError as error:
            raise storage_error(path, error) from error
        if n != n_nuclei:
            raise StorageError(f"{n} nuclei were written, {n_nuclei} expected.", "Run again.")

    def _preview(self) -> bytes:
        info = self.reader.info
        thumbnail = read_thumbnail(self.reader, 2048)
        height, width = thumbnail.shape[:2]
        picture = draw_nuclei(
            draw_mask(thumbnail, self.tissue.is_tissue),
            self._read_blocks(),
            scale_x=info.width / width,
            scale_y=info.height / height,
        )
        return encode_jpeg(picture, max_side_px=2048)
