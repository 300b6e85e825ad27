"""The loop behind ``infer_wsi``: one engine for all slides, failures listed at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click
from tqdm import tqdm

from hoverfast_platform.catalogue import Catalogue
from hoverfast_platform.cli.inputs import check_name, printable
from hoverfast_platform.config import Compute, SegmentationSettings
from hoverfast_platform.errors import HoverFastError, Interrupted, SettingsError
from hoverfast_platform.inference.engine import SegmentationEngine
from hoverfast_platform.inference.record import failure_record, segmentation_record
from hoverfast_platform.inference.segment_slide import SegmentedSlide, segment_slide
from hoverfast_platform.mask.imported import find_mask_file
from hoverfast_platform.model.checkpoint import LoadedModel, load_model
from hoverfast_platform.model.registry import DEFAULT_MODEL
from hoverfast_platform.progress import Progress
from hoverfast_platform.storage.publish import LABELS, TABLE

CATALOGUE_NAME = "catalogue.sqlite"
"""In the output folder: what was made there, and from what."""


def segment_all(  # noqa: PLR0913 - what the command line says, once
    slides: Sequence[Path],
    out_dir: Path,
    *,
    mask_dir: Path | None,
    model: str | None,
    magnification: float | None,
    settings: SegmentationSettings,
    compute: Compute,
    with_zarr: bool,
    qupath_zip_above: int,
    pseudonyms: bool,
) -> int:
    """Segment slides one after another and record each; returns how many failed."""
    failures: dict[Path, HoverFastError] = {}
    with (
        SegmentationEngine.of(
            _model(model or DEFAULT_MODEL, magnification), compute, for_slides=True
        ) as engine,
        Catalogue.open(out_dir / CATALOGUE_NAME) as catalogue,
    ):
        click.echo(
            f"Model {engine.model.card.name} {engine.model.card.version} on "
            f"{engine.predictor.device} ({engine.predictor.backend} {engine.predictor.precision}), "
            f"{engine.n_workers} workers"
        )
        for slide in slides:
            try:
                check_name(slide)
                mask = find_mask_file(mask_dir, slide) if mask_dir is not None else None
                with tqdm(desc=slide.name, unit="tile") as bar:

                    def show(progress: Progress, bar: tqdm = bar) -> None:
                        bar.total = progress.n_total
                        bar.update(progress.n_done - bar.n)

                    done = segment_slide(
                        slide,
                        out_dir=out_dir,
                        engine=engine,
                        mask=mask,
                        settings=settings,
                        on_progress=show,
                        qupath_zip_above=qupath_zip_above,
                        pseudonym=pseudonyms,
                    )
                if with_zarr:
                    from hoverfast_platform.storage.label_pyramid import label_pyramid_of_table

                    label_pyramid_of_table(
                        done.table_path, Path(f"{str(done.table_path).removesuffix(TABLE)}{LABELS}")
                    )
            except Interrupted:
                raise
            except HoverFastError as error:
                failures[slide] = error
                catalogue.record_failure(failure_record(Path(printable(slide)), error))
                click.echo(f"{printable(slide.name)}: FAILED ({error.kind}): {error}", err=True)
            else:
                catalogue.record_done(
                    segmentation_record(slide, done.slide_info, done, engine.model.card)
                )
                _report(done)
    if failures:
        click.echo(f"{len(failures)} of {len(slides)} slides failed.", err=True)
    return len(failures)


def _model(name_or_path: str, magnification: float | None) -> LoadedModel:
    """The model, at the magnification given if its file does not say it.

    Raises:
        SettingsError: If the magnification is absurd or contradicts the model's card.
    """
    model = load_model(name_or_path)
    if magnification is None:
        return model
    if not 1 <= magnification <= 100:
        raise SettingsError(f"Magnification {magnification} was asked for; 40 is usual.")
    mpp = 10 / magnification
    if abs(mpp / model.card.mpp - 1) < 0.01:
        return model
    if model.path.suffix == ".safetensors":
        raise SettingsError(
            f"Magnification {magnification:g} ({mpp:g} um per pixel) was asked for, but "
            f"{model.card.name} was trained at {model.card.mpp:g} um per pixel.",
            "Leave -l out: slides of any magnification are resampled to the model's.",
        )
    return replace(model, card=model.card.model_copy(update={"mpp": mpp}))


def _report(done: SegmentedSlide) -> None:
    summary = done.summary
    speed = summary.seconds_per_mm2
    click.echo(
        f"{done.slide_info.name}: {summary.n_nuclei} nuclei on "
        f"{summary.tissue_area_mm2:.3f} mm2 of tissue"
        + (f", {speed:.1f} s/mm2" if speed is not None else "")
        + (" (already done)" if done.was_done else "")
    )
    if summary.dab is not None and summary.dab.h_score is not None:
        share = 100 * (summary.dab.positive_fraction or 0)
        click.echo(f"  DAB: {share:.1f} % positive, H-score {summary.dab.h_score:.0f}")
    for warning in summary.warnings:
        click.echo(f"  note: {warning}")
    click.echo(f"  QuPath  {done.qupath_path}\n  table   {done.table_path}")
    click.echo(f"  preview {done.preview_path}")
