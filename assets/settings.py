"""Settings as assets: what steers the slides, with a version, upstream of what it steers.

An attribute of a component that changes gives its asset another code version. The asset is made
again, which takes a moment, and exactly what was made with other settings is shown as stale.
"""

import json
from collections.abc import Mapping
from typing import Any

import dagster as dg

from hoverfast_platform.assets.automation import when_settings_change
from hoverfast_platform.assets.batch import SlideEvents, SlideProduct, process_slides
from hoverfast_platform.assets.launchpad import SegmentationConfig, effective
from hoverfast_platform.assets.names import Names
from hoverfast_platform.config import MaskSettings
from hoverfast_platform.files import text_sha256
from hoverfast_platform.ingest.stain_rules import StainRules


def build_mask_settings(names: Names, settings: MaskSettings) -> dg.AssetsDefinition:
    """The asset `mask_settings` of a pipeline."""
    return _settings(
        names,
        "mask_settings",
        effective(settings),
        "The engine that makes tissue masks, and its settings.\n\n"
        "**Where they come from.** Attribute `mask` of the component `Segmentation`.\n\n"
        "**When they change.** Every mask made with others is shown as stale, and stays as it is "
        "until somebody materializes it. Settings of an engine that is not used change nothing.",
    )


def build_segmentation_settings(
    names: Names, launched: type[SegmentationConfig]
) -> dg.AssetsDefinition:
    """The asset `segmentation_settings` of a pipeline."""
    return _settings(
        names,
        "segmentation_settings",
        launched().model_dump(mode="json"),
        "How nuclei are found: tiles, thresholds, coarsest slide, which model.\n\n"
        "**Where they come from.** Attributes `segmentation`, `model` and `scope` of the component "
        "`Segmentation`.\n\n"
        "**When they change.** Nuclei found with others are shown as stale, and stay as they are "
        "until somebody materializes them.",
    )


def _settings(
    names: Names, asset: str, settings: Mapping[str, Any], description: str
) -> dg.AssetsDefinition:
    text = json.dumps(settings, sort_keys=True)

    @dg.asset(
        key=names.key(asset),
        group_name=names.word("settings"),
        description=description,
        kinds={"yaml"},
        owners=["team:platform"],
        tags=names.tags("settings"),
        code_version=text_sha256(text)[:16],
        automation_condition=when_settings_change(),
    )
    def made() -> dg.MaterializeResult[Any]:
        return dg.MaterializeResult(
            metadata={"settings": dg.MetadataValue.json(dict(settings))},
            data_version=dg.DataVersion(text_sha256(text)),
        )

    return made


def build_stain(names: Names, rules: StainRules) -> dg.AssetsDefinition:
    """The asset `stain` of a pipeline."""

    @dg.asset(
        key=names.key("stain"),
        partitions_def=names.slides,
        required_resource_keys=names.needs("store"),
        backfill_policy=dg.BackfillPolicy.multi_run(256),
        group_name=names.word("settings"),
        kinds={"yaml"},
        owners=["team:platform"],
        tags=names.tags("settings"),
        output_required=False,
        code_version=text_sha256(rules.model_dump_json())[:16],
        automation_condition=when_settings_change(),
    )
    def stain(context: dg.AssetExecutionContext) -> SlideEvents:
        """What a slide is stained with, and from which density of DAB a nucleus is positive.

        **Where it comes from.** Attribute `staining` of the component `SlideFolder`: rules by
        folder and file name.

        **When a rule changes.** Every slide is looked at again, which takes a moment. The slides
        whose stain is another now are segmented again, and no other.
        """
        store = names.store(context)

        def look(key: str) -> SlideProduct:
            staining = store.slide(key).staining()
            return SlideProduct(
                metadata=staining.model_dump(mode="json"),
                data_version=text_sha256(staining.model_dump_json()),
                made=None,
            )

        yield from process_slides(context, store, look)

    return stain
