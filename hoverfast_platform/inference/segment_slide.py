"""One slide to one published result, in the order it happens."""

from __future__ import annotations

import datetime
import math
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from hoverfast_platform.config import SegmentationSettings
from hoverfast_platform.errors import StorageError
from hoverfast_platform.geometry import ModelLattice
from hoverfast_platform.inference.engine import PhaseSeconds, SegmentationEngine
from hoverfast_platform.inference.provenance import provenance_of
from hoverfast_platform.inference.slide_predictor import SlidePredictor
from hoverfast_platform.inference.workers import RegionNuclei
from hoverfast_platform.mask.border_distance import BorderDistance
from hoverfast_platform.mask.builtin import find_tissue
from hoverfast_platform.mask.imported import load_mask
from hoverfast_platform.mask.tissue_mask import TissueMask
from hoverfast_platform.nuclei.nucleus import Nuclei, measurement_columns
from hoverfast_platform.nuclei.seams import audit_seams, is_near_seam
from hoverfast_platform.progress import OnProgress, Progress, ignore_progress
from hoverfast_platform.slide.digest import slide_digest
from hoverfast_platform.slide.reader import SlideInfo, SlideReader, open_slide
from hoverfast_platform.slide.resample import check_scale
from hoverfast_platform.slide.stain_normalisation import DensityRgb
from hoverfast_platform.slide.thumbnail import read_thumbnail
from hoverfast_platform.storage.atomic import storage_error
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
    SUMMARY,
    TABLE,
    find_published,
    publish,
    results_stem,
)
from hoverfast_platform.storage.qupath_shards import QUPATH_ZIP_ABOVE, write_qupath_zip
from hoverfast_platform.storage.summary import DabPositivity, Provenance, Seams, SegmentationSummary
from hoverfast_platform.tiling import Tile, TilePlan, plan_tiles

TILES_PER_BLOCK = 16
"""What a killed run loses at most: under a minute on two CPU cores."""


@dataclass(frozen=True)
class SegmentedSlide:
    """A published result.

    Attributes:
        summary: Figures and provenance.
        slide_info: What the slide says of itself.
        qupath_path: Drag it into QuPath.
        table_path: GeoParquet.
        preview_path: Nuclei on the thumbnail, JPEG.
        summary_path: The summary as JSON.
        was_done: True if an earlier run had published exactly this and nothing was computed.
    """

    summary: SegmentationSummary
    slide_info: SlideInfo
    qupath_path: Path
    table_path: Path
    preview_path: Path
    summary_path: Path
    was_done: bool


def segment_slide(  # noqa: PLR0913 - the whole public surface of a run, all keyword-only
    path: Path | str,
    *,
    out_dir: Path | str,
    engine: SegmentationEngine | None = None,
    mask: TissueMask | Path | None = None,
    settings: SegmentationSettings = SegmentationSettings(),
    on_progress: OnProgress = ignore_progress,
    run_id: str = "",
    qupath_zip_above: int = QUPATH_ZIP_ABOVE,
    pseudonym: bool = False,
) -> SegmentedSlide:
    """Find every nucleus of a slide and publish the result.

    Args:
        path: Slide file.
        out_dir: Gets ``<stem>.json.gz``, ``.parquet``, ``.preview.jpg``, ``.summary.json``;
            blocks of unfinished runs lie in ``.hoverfast/`` there.
        engine: Model and workers to use; without it the default model on the best device,
            for this slide only.
        mask: Where to look; an image file, a mask, or None for the built-in detection.
        settings: What decides which nuclei come out.
        on_progress: Told after every tile.
        run_id: Recorded with the result, for instance Dagster's.
        qupath_zip_above: With more nuclei there is a ``.qupath.zip`` of shards too.
        pseudonym: Name the files ``slide-<digest>``, not after the slide's file.

    Returns:
        The published result. If the same segmentation is already there, unchanged, nothing
        is computed. A run that was killed goes on from its finished tile blocks.

    Raises:
        SlideError: If the slide cannot be read, lacks mpp, or is too coarse.
        MaskError: If the mask does not fit.
        ComputeError: If a device or worker failed.
        StorageError: If results cannot be written.
    """
    if engine is None:
        with SegmentationEngine.of() as own:
            return segment_slide(
                path,
                out_dir=out_dir,
                engine=own,
                mask=mask,
                settings=settings,
                on_progress=on_progress,
                run_id=run_id,
                qupath_zip_above=qupath_zip_above,
                pseudonym=pseudonym,
            )
    path, out_dir = Path(path), Path(out_dir)
    with open_slide(path, settings.scale) as reader:
        warnings = check_scale(reader.info, engine.model.card.mpp, settings.scale)
        slide_sha256 = slide_digest(path)
        tissue = _tissue(reader, mask, settings, slide_sha256)
        warnings += tissue.warnings
        provenance = provenance_of(slide_sha256, reader.info, tissue, engine, settings)
        identity = provenance.segmentation_id
        stem = f"slide-{slide_sha256[:10]}" if pseudonym else path.stem
        scratch = out_dir / ".hoverfast"
        try:
            scratch.mkdir(parents=True, exist_ok=True)
            lock = FileLock(scratch / f"{identity}.lock")
            lock.acquire()  # another process segments this very slide: wait, then find it done
        except OSError as error:
            raise storage_error(out_dir, error) from error
        try:
            done = find_published(out_dir, stem, slide_sha256, identity)
            if done is None:
                job = _Job(reader, tissue, engine, settings, provenance, scratch / identity)
                summary = job.compute(on_progress, warnings, run_id, qupath_zip_above)
                with FileLock(scratch / "publish.lock"):  # two slides of one stem at once
                    name = results_stem(out_dir, stem, slide_sha256)
                    publish(job.staging_dir, out_dir, name, summary)
                job.blocks.remove()
            else:
                n = done.n_tiles
                on_progress(Progress("already segmented", n, n))
            name = results_stem(out_dir, stem, slide_sha256)
        finally:
            lock.release()
    return SegmentedSlide(
        summary=SegmentationSummary.read(out_dir / f"{name}{SUMMARY}"),
        slide_info=reader.info,
        qupath_path=out_dir / f"{name}{QUPATH}",
        table_path=out_dir / f"{name}{TABLE}",
        preview_path=out_dir / f"{name}{PREVIEW}",
        summary_path=out_dir / f"{name}{SUMMARY}",
        was_done=done is not None,
    )


def _tissue(
    reader: SlideReader,
    mask: TissueMask | Path | None,
    settings: SegmentationSettings,
    slide_sha256: str,
) -> TissueMask:
    if mask is None:
        return find_tissue(reader, settings.tissue)
    if isinstance(mask, Path):
        return load_mask(mask, reader.info, slide_sha256=slide_sha256)
    return mask


class _Job:
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

        self.plan: TilePlan = plan_tiles(self.lattice, settings.tiling, self._has_tissue)

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
        stain_factors = predictor.normalisation.factors
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
        summary = self._stage(stain_factors, warnings, n_resumed, qupath_zip_above)
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
        stain_factors: DensityRgb,
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
            stain_factors=stain_factors,
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
