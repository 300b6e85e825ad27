"""The ``tissue_mask`` asset: where on a slide nuclei are looked for."""

import dagster as dg

from assets.automation import when_inputs_change
from assets.batch import SlideEvents, SlideProduct, process_slides
from assets.partitions import slides
from assets.pictures import inline_picture
from resources.platform_store import PlatformStore


@dg.asset(
    partitions_def=slides,
    deps=["slide"],
    backfill_policy=dg.BackfillPolicy.multi_run(64),
    group_name="slides",
    kinds={"opencv"},
    output_required=False,
    code_version="1",
    automation_condition=when_inputs_change(),
)
def tissue_mask(context: dg.AssetExecutionContext, store: PlatformStore) -> SlideEvents:
    """Where the tissue is, found by its optical density against the slide's own glass.

    **Where it is.** `masks/<slide>.png` in the artefact folder. **Running it again.** Gives
    the same mask. An empty mask is a result: the slide will have zero nuclei.
    """
    from PIL import Image

    from hoverfast_platform.mask.builtin import find_tissue
    from hoverfast_platform.slide import open_slide
    from hoverfast_platform.slide.thumbnail import read_thumbnail
    from hoverfast_platform.storage.atomic import written_atomically
    from hoverfast_platform.storage.previews import draw_mask

    def find(key: str) -> SlideProduct:
        with open_slide(store.slide_path(key), store.scale(key)) as reader:
            mask = find_tissue(reader)
            thumbnail = read_thumbnail(reader, 512)
        with written_atomically(store.mask_path(key)) as part:
            Image.fromarray(mask.is_tissue).save(part, format="PNG")
        return SlideProduct(
            metadata={
                "overlay": inline_picture(draw_mask(thumbnail, mask.is_tissue), "tissue mask"),
                "tissue_area_mm2": mask.tissue_area_mm2,
                "tissue_fraction": mask.tissue_fraction,
                "path": dg.MetadataValue.path(str(store.mask_path(key))),
            },
            data_version=mask.digest(),
        )

    yield from process_slides(context, store, find)
