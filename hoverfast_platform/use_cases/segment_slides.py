"""Slides to published, recorded results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import cv2

from hoverfast_platform.catalogue import DEFAULT_SCOPE, AppearanceRecord, Catalogue
from hoverfast_platform.config import Scale, SegmentationSettings
from hoverfast_platform.errors import SettingsError
from hoverfast_platform.inference.engine import SegmentationEngine
from hoverfast_platform.inference.segment_slide import SegmentedSlide, segment_slide
from hoverfast_platform.ingest.names import check_name, printable
from hoverfast_platform.mask.imported import find_mask_file
from hoverfast_platform.mask.mask_file import read_levels, split_levels
from hoverfast_platform.model.checkpoint import LoadedModel, load_model
from hoverfast_platform.model.registry import DEFAULT_MODEL, builtin_at
from hoverfast_platform.progress import OnProgress, ignore_progress
from hoverfast_platform.regions.reading import find_regions_file
from hoverfast_platform.slide import open_slide
from hoverfast_platform.slide.thumbnail import read_thumbnail
from hoverfast_platform.stain import measure_stain
from hoverfast_platform.storage.publish import LABELS, TABLE
from hoverfast_platform.storage.qupath_shards import QUPATH_ZIP_ABOVE
from hoverfast_platform.use_cases.engines import ShippedEngines
from hoverfast_platform.use_cases.outcome import Outcome, each
from hoverfast_platform.use_cases.record import failure_record, segmentation_record

SlideOutcome: TypeAlias = Outcome[Path, SegmentedSlide]

_THUMBNAIL_PX = 1024
"""Side at which a slide's stain is measured."""


@dataclass(frozen=True)
class ResultOptions:
    """What is published beside the nuclei, and under which names.

    Attributes:
        with_zarr: Whether OME-Zarr labels are written, too.
        qupath_zip_above: With more nuclei than this, a ``.qupath.zip`` of shards is written, too.
        pseudonyms: Whether files are named ``slide-<digest>`` instead of after the slide's file.
    """

    with_zarr: bool = False
    qupath_zip_above: int = QUPATH_ZIP_ABOVE
    pseudonyms: bool = False


def segment_slides(
    slides: Iterable[Path],
    out_dir: Path,
    *,
    engine: SegmentationEngine | ShippedEngines,
    catalogue: Catalogue,
    masks: Path | None = None,
    regions: Path | None = None,
    settings: SegmentationSettings = SegmentationSettings(),
    results: ResultOptions = ResultOptions(),
    progress_of: Callable[[Path], OnProgress] = lambda _slide: ignore_progress,
) -> Iterator[SlideOutcome]:
    """Find the nuclei of slides, publish and record each; one outcome per slide, in order.

    Args:
        slides: Slide files.
        out_dir: Gets the results.
        engine: Model and workers; or those of the models that ship, by each slide's scale.
        catalogue: Gets what was made from what, and what failed.
        masks: Folder or table of masks; without it, tissue is detected.
        regions: GeoJSON of the only slide's regions, or a folder with a file for each slide, named
            after it; the work is restricted to them.
        settings: What decides which nuclei come out.
        results: What is published beside them.
        progress_of: Returns the callback that is told of a slide's tiles.
    """
    slides = list(slides)

    def regions_of(slide: Path) -> Path | None:
        if regions is None:
            return None
        is_only = len(slides) == 1
        return find_regions_file(regions, slide.stem, slide.name, is_only_slide=is_only)

    def segment(slide: Path) -> SegmentedSlide:
        check_name(slide)
        return segment_and_record(
            slide,
            out_dir,
            engine=engine.engine(slide, settings.scale)
            if isinstance(engine, ShippedEngines)
            else engine,
            catalogue=catalogue,
            mask=find_mask_file(masks, slide) if masks is not None else None,
            regions=regions_of(slide),
            settings=settings,
            results=results,
            on_progress=progress_of(slide),
        )

    def record_failure(slide: Path, error: Exception) -> None:
        catalogue.results.record_failure(failure_record(Path(printable(slide)), error))

    return each(slides, segment, record_failure=record_failure)


def segment_and_record(
    slide: Path,
    out_dir: Path,
    *,
    engine: SegmentationEngine,
    catalogue: Catalogue,
    mask: Path | None = None,
    regions: Path | None = None,
    settings: SegmentationSettings = SegmentationSettings(),
    results: ResultOptions = ResultOptions(),
    scope: str = DEFAULT_SCOPE,
    on_progress: OnProgress = ignore_progress,
    run_id: str = "",
) -> SegmentedSlide:
    """Find the nuclei of one slide, publish the result and record it.

    The files are called by the stem that the slide had when the catalogue first saw it: renamed or
    copied it is the same slide, and its result is found done.

    Args:
        slide: Its file.
        out_dir: Gets the result.
        engine: Model and workers.
        catalogue: Gets what the result was made from.
        mask: File of its mask; without it, tissue is detected.
        regions: GeoJSON of the regions to which the work is restricted; None takes all tissue.
        settings: What decides which nuclei come out.
        results: What is published beside them.
        scope: The scope whose model this is; recorded with the result.
        on_progress: Is called after every tile.
        run_id: Id of the run, for instance Dagster's; recorded with the result.

    Raises:
        HoverFastError: As :func:`~hoverfast_platform.inference.segment_slide.segment_slide` does.
    """

    def stable_stem(sha256: str) -> str:
        return catalogue.slides.display_name(sha256) or slide.stem

    done = segment_slide(
        slide,
        out_dir=out_dir,
        engine=engine,
        mask=mask,
        regions=regions,
        settings=settings,
        on_progress=on_progress,
        run_id=run_id,
        qupath_zip_above=results.qupath_zip_above,
        stem_of=pseudonym if results.pseudonyms else stable_stem,
    )
    if results.with_zarr:
        from hoverfast_platform.storage.label_pyramid import label_pyramid_of_table

        stem = str(done.table_path).removesuffix(TABLE)
        label_pyramid_of_table(done.table_path, Path(f"{stem}{LABELS}"))
    catalogue.results.record(segmentation_record(slide, done.slide_info, done, engine.model, scope))
    return done


def pseudonym(sha256: str) -> str:
    """A name for result files that says nothing of whose slide it is."""
    return f"slide-{sha256[:10]}"


def record_appearance(
    catalogue: Catalogue, key: str, done: SegmentedSlide, *, slide: Path, mask: Path, scale: Scale
) -> AppearanceRecord | None:
    """Measure what an H&E slide looks like and record it, to compare other slides with.

    Args:
        catalogue: Gets the numbers.
        key: Key of the slide.
        done: Its segmentation.
        slide: Its file.
        mask: File of its mask, one of ours.
        scale: How the slide is scaled.

    Returns:
        None without tissue.
    """
    with open_slide(slide, scale) as reader:
        thumbnail = read_thumbnail(reader, _THUMBNAIL_PX)
    is_tissue, _ = split_levels(read_levels(mask))
    height, width = thumbnail.shape[:2]
    resized = cv2.resize(is_tissue.view("u1"), (width, height), interpolation=cv2.INTER_NEAREST)
    strength, density = measure_stain(thumbnail, resized > 0), done.summary.nuclei_per_mm2
    if strength is None or density is None:
        return None
    appearance = AppearanceRecord(strength.hematoxylin, strength.eosin, density)
    catalogue.slides.record_appearance(key, appearance)
    return appearance


def model_at(name_or_path: str | None, magnification: float | None) -> LoadedModel:
    """A model, at the magnification given if its file does not say it.

    Args:
        name_or_path: None takes the model that ships for the magnification.
        magnification: 40 is 0.25 um per pixel; None: what the model's card says.

    Raises:
        SettingsError: If the magnification is absurd, contradicts the model's card, or no model
            that ships works at it.
    """
    if magnification is None:
        return load_model(name_or_path or DEFAULT_MODEL)
    if not 1 <= magnification <= 100:
        raise SettingsError(f"Magnification {magnification} was asked for; 40 is usual.")
    mpp = 10 / magnification
    model = load_model(name_or_path or builtin_at(mpp))
    if abs(mpp / model.card.mpp - 1) < 0.01:
        return model
    if model.path.suffix == ".safetensors":
        raise SettingsError(
            f"Magnification {magnification:g} ({mpp:g} um per pixel) was asked for, but "
            f"{model.card.name} was trained at {model.card.mpp:g} um per pixel.",
            "Leave -l out: slides of any magnification are resampled to the model's. Or leave -m "
            "out: then the model that ships for the magnification is taken.",
        )
    return replace(model, card=model.card.model_copy(update={"mpp": mpp}))
