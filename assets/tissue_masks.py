"""The ``tissue_mask`` asset: where on a slide nuclei are looked for."""

from typing import TYPE_CHECKING, Any

import dagster as dg

from hoverfast_platform.assets.automation import when_inputs_change
from hoverfast_platform.assets.batch import SlideEvents, SlideProduct, process_slides
from hoverfast_platform.assets.checks import check_specs, verdicts
from hoverfast_platform.assets.launchpad import MaskConfig, overridden, read_config, with_defaults
from hoverfast_platform.assets.names import Names
from hoverfast_platform.assets.pictures import inline_picture
from hoverfast_platform.assets.viewer_link import viewer_metadata
from hoverfast_platform.checks.policy import CheckPolicy
from hoverfast_platform.checks.table import MASK_CHECKS
from hoverfast_platform.config import MaskSettings

if TYPE_CHECKING:
    from hoverfast_platform.mask.make import MadeMask
    from hoverfast_platform.mask.statistics import MaskStatistics


def build_tissue_mask(
    names: Names, defaults: MaskSettings, policy: CheckPolicy
) -> dg.AssetsDefinition:
    """The asset `tissue_mask` of a pipeline.

    Args:
        names: Name of the pipeline.
        defaults: The engine and its settings, unless a run is launched with others.
        policy: Thresholds and severities of the checks.
    """
    launched = with_defaults(MaskConfig, defaults.model_dump(mode="json"))

    @dg.asset(
        key=names.key("tissue_mask"),
        partitions_def=names.slides,
        deps=[names.key("slide"), names.key("mask_settings")],
        required_resource_keys=names.needs("store"),
        config_schema=launched.to_config_schema().as_field(),
        backfill_policy=dg.BackfillPolicy.multi_run(64),
        group_name=names.word("slides"),
        kinds={"opencv"},
        owners=["team:platform"],
        tags=names.tags("mask"),
        output_required=False,
        code_version="4",
        check_specs=check_specs(MASK_CHECKS, names.key("tissue_mask"), names.slides, policy),
        automation_condition=when_inputs_change(patient_with=[names.key("mask_settings")]),
    )
    def tissue_mask(context: dg.AssetExecutionContext) -> SlideEvents:
        """Usable tissue of a slide, and what was taken from it: pen, blur, folds and the like.

        **Where it is.** `masks/<slide>.png` in the artefact folder; above half grey is usable, the
        rest of the grey levels and the record inside the file say why not.

        **Which engine.** The one of `mask_settings`, unless a run is launched with another: the
        built-in one, an installed HistoQC, or imported masks.

        **Running it again.** Keeps a mask that was made with the same settings. An empty mask is a
        result: the slide will have zero nuclei, and the check says so.

        **When it fails.** HistoQC is not installed or failed on the slide, or an imported mask does
        not fit it.
        """
        from hoverfast_platform.use_cases.make_masks import make_and_record_mask

        store, config = names.store(context), read_config(context, launched)
        settings, override = config.settings(), overridden(config)

        def make(key: str) -> SlideProduct:
            slide = store.slide(key)
            with store.open_catalogue() as catalogue:
                made = make_and_record_mask(
                    catalogue,
                    key,
                    slide=slide.path(),
                    out_path=slide.mask_path,
                    settings=settings,
                    scale=slide.scale(),
                )
            return SlideProduct(
                metadata=viewer_metadata(slide, mask="1")
                | _metadata(made)
                | ({"override": override} if override else {}),
                data_version=made.mask.digest(),
                made=made.path,
                checks=verdicts(MASK_CHECKS, made.record.statistics, policy),
            )

        yield from process_slides(context, store, make)

    return tissue_mask


def _metadata(made: "MadeMask") -> dict[str, Any]:
    statistics = made.record.statistics
    metadata: dict[str, Any] = {
        "overlay": inline_picture(made.picture, "tissue mask"),
        "tissue_area_mm2": round(statistics.tissue_area_mm2, 4),
        "tissue_fraction": round(statistics.tissue_fraction, 4),
        "lost_fraction": round(statistics.total_lost_fraction, 4),
        "pen_on_glass_mm2": round(statistics.glass_ink_mm2, 4),
        "findings": _table(statistics),
    }
    if made.mask.warnings:
        metadata["warnings"] = "\n".join(made.mask.warnings)
    return metadata | {
        "path": dg.MetadataValue.path(str(made.path)),
        "engine": made.mask.engine,
        "was_done": made.was_done,
        "provenance": dg.MetadataValue.json(made.record.provenance),
    }


def _table(statistics: "MaskStatistics") -> dg.TableMetadataValue:
    """What was found on tissue, largest loss first."""
    labels = sorted(
        statistics.lost_fraction.keys() | statistics.remarked_area_mm2.keys(),
        key=lambda label: (-statistics.lost_fraction.get(label, 0.0), label),
    )
    rows: list[dict[str, str | int | float | bool | None]] = [
        {
            "found": label,
            "lost_percent": round(100 * statistics.lost_fraction.get(label, 0.0), 2),
            "lost_mm2": round(statistics.lost_area_mm2.get(label, 0.0), 4),
            "kept_mm2": round(statistics.remarked_area_mm2.get(label, 0.0), 4),
        }
        for label in labels
    ]
    columns = (("found", "string"), ("lost_percent", "float"), ("lost_mm2", "float"))
    return dg.MetadataValue.table(
        records=[dg.TableRecord(row) for row in rows],
        schema=dg.TableSchema(
            [dg.TableColumn(name, kind) for name, kind in (*columns, ("kept_mm2", "float"))]
        ),
    )
