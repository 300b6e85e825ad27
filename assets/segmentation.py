"""The ``nuclei`` asset: every nucleus of a slide."""

from typing import TYPE_CHECKING

import dagster as dg

from assets.automation import when_inputs_change
from assets.batch import SlideEvents, SlideProduct, process_slides
from assets.checks import check_specs, verdicts
from assets.nuclei_metadata import nuclei_metadata
from assets.partitions import slides
from assets.progress_log import log_progress
from hoverfast_platform.checks.table import NUCLEI_CHECKS, NucleiFacts
from hoverfast_platform.version import RESULT_VERSION
from resources.compute import Compute
from resources.platform_store import PlatformStore

if TYPE_CHECKING:
    from hoverfast_platform.catalogue import AppearanceRecord
    from hoverfast_platform.inference.segment_slide import SegmentedSlide


@dg.asset(
    partitions_def=slides,
    deps=["slide", "tissue_mask", "segmentation_model"],
    backfill_policy=dg.BackfillPolicy.multi_run(32),
    group_name="segmentation",
    kinds={"pytorch", "openvino"},
    owners=["team:platform"],
    pool="gpu",
    output_required=False,
    code_version=str(RESULT_VERSION),
    check_specs=check_specs(NUCLEI_CHECKS, "nuclei"),
    automation_condition=when_inputs_change(),
)
def nuclei(
    context: dg.AssetExecutionContext, store: PlatformStore, compute: Compute
) -> SlideEvents:
    """Every nucleus of one slide, as polygons in level-0 pixels.

    **Where it is.** `nuclei/<slide>/` in the artefact folder: a QuPath file, a table, a preview
    and a summary.

    **Which stain.** H&E, or nuclear DAB for slides that `stains.json` in the artefact folder names;
    those are measured in DAB.

    **Running it again.** With nothing changed the result is found complete and nothing is
    computed; a run that died goes on from its finished tile blocks.

    **When it fails.** Nothing is published; the failure is in the catalogue with its remedy.

    **Over time.** Overview, Metadata, Plots: seconds and nuclei per mm2, stain.
    """
    from hoverfast_platform.inference.record import segmentation_record
    from hoverfast_platform.inference.segment_slide import segment_slide

    policy = store.check_policy()

    def segment(key: str) -> SlideProduct:
        path, settings = store.slide_path(key), store.settings(key)
        engine = compute.engine()
        done = segment_slide(
            path,
            out_dir=store.nuclei_dir(key),
            engine=engine,
            mask=store.mask_path(key),
            settings=settings,
            on_progress=log_progress(context, key),
            run_id=context.run.run_id,
            pseudonym=store.pseudonyms,
        )
        store.record_done(segmentation_record(path, done.slide_info, done, engine.model.card))
        stain = settings.staining.stain
        appearance = _appearance(store, key, done) if stain == "he" else None
        return SlideProduct(
            nuclei_metadata(done, appearance) | {"stain": stain},
            done.summary.provenance.segmentation_id,
            verdicts(NUCLEI_CHECKS, _facts(store, key, done, appearance), policy),
        )

    yield from process_slides(context, store, segment)


def _appearance(
    store: PlatformStore, key: str, done: "SegmentedSlide"
) -> "AppearanceRecord | None":
    """Measured and recorded, to compare other slides with; None without tissue."""
    import cv2

    from hoverfast_platform.catalogue import AppearanceRecord
    from hoverfast_platform.mask.mask_file import read_levels, split_levels
    from hoverfast_platform.slide import open_slide
    from hoverfast_platform.slide.thumbnail import read_thumbnail
    from hoverfast_platform.stain import measure_stain

    with open_slide(store.slide_path(key), store.scale(key)) as reader:
        thumbnail = read_thumbnail(reader, 1024)
    is_tissue, _ = split_levels(read_levels(store.mask_path(key)))
    height, width = thumbnail.shape[:2]
    resized = cv2.resize(is_tissue.view("u1"), (width, height), interpolation=cv2.INTER_NEAREST)
    stain, density = measure_stain(thumbnail, resized > 0), done.summary.nuclei_per_mm2
    if stain is None or density is None:
        return None
    appearance = AppearanceRecord(stain.hematoxylin, stain.eosin, density)
    with store.open_catalogue() as catalogue:
        catalogue.slides.record_appearance(key, appearance)
    return appearance


def _facts(
    store: PlatformStore,
    key: str,
    done: "SegmentedSlide",
    appearance: "AppearanceRecord | None",
) -> NucleiFacts:
    with store.open_catalogue() as catalogue:
        among, others = catalogue.slides.companions(key)
    return NucleiFacts(
        summary=done.summary,
        qupath_path=done.qupath_path,
        width_px=done.slide_info.width,
        height_px=done.slide_info.height,
        appearance=appearance,
        others=others,
        among=among,
    )
