"""The ``slide`` asset: a registered slide, opened and described."""

import dagster as dg

from hoverfast_platform.assets.automation import when_inputs_change
from hoverfast_platform.assets.batch import SlideEvents, SlideProduct, process_slides
from hoverfast_platform.assets.names import Names
from hoverfast_platform.assets.pictures import inline_picture
from hoverfast_platform.assets.slide_inventory import INVENTORY_VERSION


def build_slide(names: Names) -> dg.AssetsDefinition:
    """The asset `slide` of a pipeline."""

    @dg.asset(
        key=names.key("slide"),
        partitions_def=names.slides,
        deps=[names.key("slide_inventory")],
        required_resource_keys=names.needs("store"),
        backfill_policy=dg.BackfillPolicy.multi_run(256),
        group_name=names.word("slides"),
        kinds={"openslide"},
        owners=["team:platform"],
        tags=names.tags("intake"),
        output_required=False,
        code_version="1",
        automation_condition=when_inputs_change(only_shown=[names.key("slide_inventory")]),
    )
    def slide(context: dg.AssetExecutionContext) -> SlideEvents:
        """A whole slide image: can it be read, how large is it, at what scale?

        **Where it is.** Where it was registered from; nothing is copied.

        **Running it again.** Reads the header, the thumbnail and every byte for the digest; changes
        nothing.

        **When it fails.** The slide is damaged or has no mpp; the message says what to do.
        """
        from hoverfast_platform.slide import open_slide
        from hoverfast_platform.slide.thumbnail import read_thumbnail

        store = names.store(context)

        def describe(key: str) -> SlideProduct:
            view = store.slide(key)
            path, content = view.path(), view.content()
            with open_slide(path, view.scale()) as reader:
                info = reader.info
                picture = inline_picture(read_thumbnail(reader, 512), info.name)
            return SlideProduct(
                metadata={
                    "thumbnail": picture,
                    "path": dg.MetadataValue.path(str(path)),
                    "format": info.vendor,
                    "width_px": info.width,
                    "height_px": info.height,
                    "mpp_x": info.mpp.x,
                    "mpp_y": info.mpp.y,
                    "mpp_source": info.mpp_source,
                    "area_mm2": round(info.area_mm2, 4),
                },
                # With another mpp everything made of the slide is another.
                data_version=content
                if info.mpp_source == "file"
                else f"{content} {info.mpp.x} mpp",
                made=None,
                input_versions={names.key("slide_inventory").to_user_string(): INVENTORY_VERSION},
            )

        yield from process_slides(context, store, describe)

    return slide
