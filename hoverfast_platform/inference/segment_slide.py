"""One slide to one published result, in the order it happens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from hoverfast_platform.config import SegmentationSettings
from hoverfast_platform.errors import ChangedSlideError
from hoverfast_platform.files import reporting_storage
from hoverfast_platform.inference.engine import SegmentationEngine
from hoverfast_platform.inference.slide_job import SlideJob
from hoverfast_platform.mask.builtin import find_tissue
from hoverfast_platform.mask.held_against_slide import hold_against_slide, load_mask_held
from hoverfast_platform.mask.tissue_mask import TissueMask
from hoverfast_platform.progress import OnProgress, Progress, ignore_progress
from hoverfast_platform.regions.reading import RegionFrame, read_regions
from hoverfast_platform.slide import SlideInfo, SlideReader, open_slide
from hoverfast_platform.slide.digest import slide_digest
from hoverfast_platform.slide.resample import check_scale
from hoverfast_platform.slide.unchanged import SlideState, check_same_bytes
from hoverfast_platform.storage.publish import (
    LOCKS,
    MASK,
    PREVIEW,
    QUPATH,
    SCRATCH,
    SUMMARY,
    TABLE,
    find_published,
    finish_publications,
    publish,
    results_stem,
)
from hoverfast_platform.storage.qupath_shards import QUPATH_ZIP_ABOVE
from hoverfast_platform.storage.summary import SegmentationSummary


@dataclass(frozen=True)
class SegmentedSlide:
    """A published result.

    Attributes:
        summary: Figures and provenance.
        slide_info: What the slide says of itself.
        qupath_path: Drag it into QuPath.
        table_path: GeoParquet.
        preview_path: Nuclei on the thumbnail, JPEG.
        mask_path: The tissue mask that was used, and the regions if there were some.
        summary_path: The summary as JSON.
        was_done: True if an earlier run had published exactly this and nothing was computed.
    """

    summary: SegmentationSummary
    slide_info: SlideInfo
    qupath_path: Path
    table_path: Path
    preview_path: Path
    mask_path: Path
    summary_path: Path
    was_done: bool


def segment_slide(  # noqa: PLR0913 - the whole public surface of a run, all keyword-only
    path: Path | str,
    *,
    out_dir: Path | str,
    engine: SegmentationEngine | None = None,
    mask: TissueMask | Path | None = None,
    regions: Path | None = None,
    settings: SegmentationSettings = SegmentationSettings(),
    on_progress: OnProgress = ignore_progress,
    run_id: str = "",
    qupath_zip_above: int = QUPATH_ZIP_ABOVE,
    stem_of: Callable[[str], str] | None = None,
) -> SegmentedSlide:
    """Find every nucleus of a slide and publish the result.

    Args:
        path: Slide file.
        out_dir: Gets ``<stem>.json.gz``, ``.parquet``, ``.preview.jpg``, ``.mask.png``,
            ``.summary.json``; blocks of unfinished runs lie in ``.hoverfast/`` there.
        engine: Model and workers to use; without it the default model on the best device,
            for this slide only.
        mask: Where to look; an image file, a mask, or None for the built-in detection.
        regions: GeoJSON of the regions to which the work is restricted; None takes all tissue.
            A nucleus in them is the same as without them.
        settings: What decides which nuclei come out.
        on_progress: Told after every tile.
        run_id: Recorded with the result, for instance Dagster's.
        qupath_zip_above: With more nuclei there is a ``.qupath.zip`` of shards too.
        stem_of: What the files are called, given the slide's digest; None: after its file.

    Returns:
        The published result. If the same segmentation is already there, unchanged, nothing
        is computed. A run that was killed goes on from its finished tile blocks.

    Raises:
        SlideError: If the slide cannot be read, lacks mpp, or is too coarse.
        MaskError: If the mask does not fit.
        RegionError: If the regions do not fit the slide.
        ComputeError: If a device or worker failed.
        StorageError: If results cannot be written.
    """
    path, out_dir = Path(path), Path(out_dir)
    state = SlideState.of(path)
    with (
        SegmentationEngine.given_or_own(engine) as engine,
        open_slide(path, settings.scale) as reader,
    ):
        warnings = check_scale(reader.info, engine.model.card.mpp, settings.scale)
        slide_sha256 = slide_digest(path)
        check_same_bytes(path, state, slide_sha256)
        tissue = _tissue(reader, mask, settings, slide_sha256)
        warnings += tissue.warnings
        if regions is not None:
            found = read_regions(regions, RegionFrame.of_slide(reader.info), tissue)
            tissue = tissue.restricted_to(found.union)
            warnings += found.notes
        provenance = engine.provenance(reader.info.source(slide_sha256), tissue.source, settings)
        identity = provenance.segmentation_id
        stem = stem_of(slide_sha256) if stem_of is not None else path.stem
        scratch = out_dir / SCRATCH
        with reporting_storage(out_dir):
            (out_dir / LOCKS).mkdir(parents=True, exist_ok=True)
            lock = FileLock(out_dir / LOCKS / f"{identity}.lock")
            lock.acquire()  # another process segments this very slide: wait, then find it done
        try:
            finish_publications(out_dir)
            done = find_published(out_dir, stem, slide_sha256, identity)
            if done is None:
                job = SlideJob(reader, tissue, engine, settings, provenance, scratch / identity)
                summary = job.compute(on_progress, warnings, run_id, qupath_zip_above)
                _refuse_changed(path, state, slide_sha256, job)
                publish(job.staging_dir, out_dir, stem, summary)
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
        mask_path=out_dir / f"{name}{MASK}",
        summary_path=out_dir / f"{name}{SUMMARY}",
        was_done=done is not None,
    )


def _refuse_changed(path: Path, state: SlideState, sha256: str, job: SlideJob) -> None:
    """Its blocks are removed: they hold nuclei of more than one slide."""
    try:
        check_same_bytes(path, state, sha256)
    except ChangedSlideError:
        job.blocks.remove()
        raise


def _tissue(
    reader: SlideReader,
    mask: TissueMask | Path | None,
    settings: SegmentationSettings,
    slide_sha256: str,
) -> TissueMask:
    if mask is None:
        return find_tissue(reader, settings.tissue)
    if isinstance(mask, Path):
        return load_mask_held(mask, reader, slide_sha256=slide_sha256)
    if mask.engine in ("builtin", "histoqc"):  # made from this very slide's pixels
        return mask
    return hold_against_slide(mask, reader, name="The tissue mask")
