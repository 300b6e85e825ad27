"""The ``tissue_mask`` asset: where on a slide nuclei are looked for."""

import dagster as dg

from assets.automation import when_inputs_change
from assets.batch import SlideEvents, SlideProduct, process_slides
from assets.checks import MASK_CHECKS, verdict
from assets.partitions import slides
from assets.pictures import inline_picture
from resources.platform_store import PlatformStore


@dg.asset(
    partitions_def=slides,
    deps=["slide"],
    backfill_policy=dg.BackfillPolicy.multi_run(64),
    group_name="slides",
    kinds={"opencv"},
    owners=["team:platform"],
    output_required=False,
    code_version="2",
    check_specs=MASK_CHECKS,
    automation_condition=when_inputs_change(),
)
def tissue_mask(context: dg.AssetExecutionContext, store: PlatformStore) -> SlideEvents:
    """Where the tissue is, found by its optical density against the slide's own glass.

    **Where it is.** `masks/<slide>.png` in the artefact folder. **Running it again.** Gives
    the same mask. An empty mask is a result: the slide will have zero nuclei.
    """
    from hoverfast_platform.evaluation.plausibility import check_mask
    from hoverfast_platform.inference.record import tissue_mask_record
    from hoverfast_platform.mask.builtin import find_tissue
    from hoverfast_platform.mask.mask_file import mask_record, write_mask
    from hoverfast_platform.mask.picture import draw_quality
    from hoverfast_platform.slide import open_slide
    from hoverfast_platform.slide.thumbnail import read_thumbnail

    policy = store.check_policy()

    def find(key: str) -> SlideProduct:
        with open_slide(store.slide_path(key), store.scale(key)) as reader:
            mask = find_tissue(reader)
            thumbnail = read_thumbnail(reader, 512)
            name = reader.info.name
        record = mask_record(mask, name, store.slide_digest(key))
        write_mask(store.mask_path(key), mask, record)
        store.record_mask(key, tissue_mask_record(store.mask_path(key), mask, record))
        return SlideProduct(
            metadata={
                "overlay": inline_picture(draw_quality(thumbnail, mask), "tissue mask"),
                "tissue_area_mm2": mask.tissue_area_mm2,
                "tissue_fraction": mask.tissue_fraction,
                "path": dg.MetadataValue.path(str(store.mask_path(key))),
            },
            data_version=mask.digest(),
            checks=(verdict("mask_is_plausible", check_mask(mask.tissue_fraction, policy.mask)),),
        )

    yield from process_slides(context, store, find)
