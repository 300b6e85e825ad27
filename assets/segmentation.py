"""The ``nuclei`` asset: every nucleus of a slide."""

from functools import partial

import dagster as dg

from hoverfast_platform.assets.automation import when_inputs_change
from hoverfast_platform.assets.batch import SlideEvents, SlideProduct, process_slides
from hoverfast_platform.assets.checks import check_specs, verdicts
from hoverfast_platform.assets.launchpad import SegmentationConfig, overridden, read_config
from hoverfast_platform.assets.names import Names
from hoverfast_platform.assets.nuclei_metadata import nuclei_metadata
from hoverfast_platform.assets.pictures import inline_drawing
from hoverfast_platform.assets.progress_log import log_progress
from hoverfast_platform.assets.segmentation_model import used_version
from hoverfast_platform.assets.viewer_link import viewer_metadata
from hoverfast_platform.checks.policy import CheckPolicy
from hoverfast_platform.checks.table import NUCLEI_CHECKS, NucleiFacts
from hoverfast_platform.version import RESULT_VERSION


def build_nuclei(
    names: Names, launched: type[SegmentationConfig], policy: CheckPolicy
) -> dg.AssetsDefinition:
    """The asset `nuclei` of a pipeline.

    Args:
        names: Name of the pipeline.
        launched: What the launchpad offers, with the settings of the pipeline as defaults.
        policy: Thresholds and severities of the checks.
    """

    @dg.asset(
        key=names.key("nuclei"),
        partitions_def=names.slides,
        deps=[
            names.key(upstream)
            for upstream in (
                "slide",
                "stain",
                "tissue_mask",
                "segmentation_settings",
                "segmentation_model",
            )
        ],
        required_resource_keys=names.needs("store", "compute"),
        config_schema=launched.to_config_schema().as_field(),
        backfill_policy=dg.BackfillPolicy.multi_run(32),
        group_name=names.word("segmentation"),
        kinds={"pytorch", "openvino"},
        owners=["team:platform"],
        tags=names.tags("segmentation"),
        pool="gpu",
        output_required=False,
        code_version=str(RESULT_VERSION),
        check_specs=check_specs(NUCLEI_CHECKS, names.key("nuclei"), names.slides, policy),
        automation_condition=when_inputs_change(
            patient_with=[names.key("segmentation_settings"), names.key("segmentation_model")],
            waits_for=[names.key("stain")],
            held_back=policy.mask.severity == "error",
        ),
    )
    def nuclei(context: dg.AssetExecutionContext) -> SlideEvents:
        """Every nucleus of one slide, as polygons in level-0 pixels.

        **Where it is.** `nuclei/<slide>/` in the artefact folder: a QuPath file, a table, a preview
        and a summary.

        **Which stain.** What `stain` says of the slide: H&E, or nuclear DAB, which is then
        measured.

        **Which settings.** Those of `segmentation_settings`, unless a run is launched with others;
        it then says so in `override`.

        **Which model.** The one promoted in the slide's scope, else the one that ships for the
        slide's scale, see `segmentation_model`; `scope` and `model` say what was really used, also
        where the run's config asked for another one.

        **Running it again.** With nothing changed the result is found complete and nothing is
        computed; a run that died goes on from its finished tile blocks.

        **When it fails.** Nothing is published; the failure is in the catalogue with its remedy.

        **Over time.** Overview, Metadata, Plots: seconds and nuclei per mm2, stain.
        """
        from hoverfast_platform.reports.lineage import story_of
        from hoverfast_platform.reports.lineage_graph import LineageGraph
        from hoverfast_platform.use_cases.models_in_use import (
            kind_of_slides,
            model_in_use,
            models_in_use,
        )
        from hoverfast_platform.use_cases.segment_slides import (
            ResultOptions,
            record_appearance,
            segment_and_record,
        )

        store, compute = names.store(context), names.compute(context)
        config = read_config(context, launched)
        override, results = overridden(config), ResultOptions(pseudonyms=store.pseudonyms)
        scopes = store.scope_rules().names()

        def segment(key: str) -> SlideProduct:
            slide = store.slide(key)
            path, mask, staining = slide.path(), slide.mask_path, slide.staining()
            settings, stain = config.settings(slide.scale(), staining), staining.stain
            own_scope = slide.scope()
            scope, mpp = config.scope or own_scope, slide.mpp()
            with store.open_catalogue() as catalogue:
                done = segment_and_record(
                    path,
                    slide.nuclei_dir,
                    engine=compute.engine(store, scope, mpp, config.model),
                    catalogue=catalogue,
                    mask=mask,
                    settings=settings,
                    results=results,
                    scope=scope,
                    on_progress=log_progress(context, key),
                    run_id=context.run.run_id,
                )
                appearance = None
                if stain == "he":
                    appearance = record_appearance(
                        catalogue, key, done, slide=path, mask=mask, scale=settings.scale
                    )
                among, others = catalogue.slides.companions(key)
                identity = done.summary.provenance.segmentation_id
                (entry,) = catalogue.results.lineage(identity).entries
                graph = LineageGraph.of(story_of(catalogue, entry))
                models = partial(model_in_use, catalogue, elsewhere=store.learning().model_file)
                in_use = models_in_use(models, scopes)
            facts = NucleiFacts(
                summary=done.summary,
                qupath_path=done.qupath_path,
                width_px=done.slide_info.width,
                height_px=done.slide_info.height,
                appearance=appearance,
                others=others,
                among=among,
            )
            return SlideProduct(
                viewer_metadata(slide)
                | nuclei_metadata(done, appearance)
                | {"stain": stain, "scope": scope}
                | {"lineage_graph": inline_drawing(graph.svg(), "what it was made from")}
                | ({"override": override} if override else {}),
                identity,
                done.table_path.parent,
                verdicts(NUCLEI_CHECKS, facts, policy),
                {
                    names.key("segmentation_model").to_user_string(): used_version(
                        done.summary.provenance.model.sha256,
                        kind_of_slides(own_scope, mpp),
                        {kind: model.sha256 for kind, model in in_use.items()},
                    )
                },
            )

        yield from process_slides(context, store, segment)

    return nuclei
