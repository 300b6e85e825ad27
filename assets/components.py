"""The pipeline in three components, for this repository's code location and for any other.

A lab writes YAML of them in its own Dagster project (docs/components.md)::

    type: hoverfast_platform.SlideFolder
    attributes:
      pipeline: liver
      folders: [/data/liver]

Components with the same `pipeline` belong together. What an attribute means is the engine's own
text of that setting, so that it is written once.
"""

from collections.abc import Sequence
from typing import Literal, Self

import dagster as dg
from pydantic import Field, model_validator

from hoverfast_platform.assets.alerts import Alerts
from hoverfast_platform.assets.attributes import (
    CheckAttribute,
    MaskAttribute,
    MppAttribute,
    NeighbourAttribute,
    PlanAttribute,
    ScopeAttribute,
    SegmentationAttribute,
    StainAttribute,
)
from hoverfast_platform.assets.automation import Automation
from hoverfast_platform.assets.code_references import in_source
from hoverfast_platform.assets.corrections import corrections_spec
from hoverfast_platform.assets.jobs import (
    intake_jobs,
    learning_jobs,
    nightly,
    segmentation_jobs,
)
from hoverfast_platform.assets.label_sets import label_set_spec
from hoverfast_platform.assets.launchpad import SegmentationConfig, with_defaults
from hoverfast_platform.assets.learning import Learning, build_learning
from hoverfast_platform.assets.names import Names
from hoverfast_platform.assets.scaffolding import (
    CohortScaffolder,
    SegmentationScaffolder,
    SlideFolderScaffolder,
    StatisticsScaffolder,
)
from hoverfast_platform.assets.segmentation import build_nuclei
from hoverfast_platform.assets.segmentation_model import build_segmentation_model
from hoverfast_platform.assets.sensor_table import (
    intake_sensors,
    learning_sensors,
    segmentation_sensors,
    statistics_sensors,
)
from hoverfast_platform.assets.settings import (
    build_mask_settings,
    build_segmentation_settings,
    build_stain,
)
from hoverfast_platform.assets.slide_inventory import build_slide_inventory
from hoverfast_platform.assets.slides import build_slide
from hoverfast_platform.assets.statistics import build_neighbourhood, build_slide_statistics
from hoverfast_platform.assets.tissue_masks import build_tissue_mask
from hoverfast_platform.catalogue.database import CATALOGUE_NAME
from hoverfast_platform.checks.policy import CheckPolicy
from hoverfast_platform.config import MaskSettings
from hoverfast_platform.ingest.mpp_rules import MppRules
from hoverfast_platform.ingest.scope_rules import ScopeRules
from hoverfast_platform.ingest.stain_rules import StainRules
from hoverfast_platform.neighbourhood.measure import NeighbourhoodSettings
from hoverfast_platform.resources.artefact_folder import ArtefactFolder
from hoverfast_platform.resources.leased_device import LeasedDevice
from hoverfast_platform.resources.slide_folders import SlideFolders

_PIPELINE = (
    "Name of the pipeline: it stands before its assets, partitions and sensors. Components with "
    "the same name belong together. Empty for the only one of a code location."
)

_RUNS_BY_ITSELF = "Whether sensors run before anybody switched them on in the UI."


@dg.scaffold_with(SlideFolderScaffolder)
class SlideFolder(dg.Component, dg.Resolvable, dg.Model):
    """Folders in which slides arrive: noticed, waited for, registered, or told what is wrong.

    Makes the assets `slide_inventory`, `slide` and `stain`, the sensors `new_slides` and
    `lost_runs`, and the resource `store` that all components of the pipeline use. Example::

        type: hoverfast_platform.SlideFolder
        attributes:
          pipeline: liver
          folders: [/data/liver]
          artefacts: /data/results/liver
          staining:
            rules:
              - files: "*/ki67/*"
                staining: {stain: ihc_dab}
    """

    pipeline: str = Field(default="", description=_PIPELINE)
    folders: Sequence[str] = Field(
        default=(), description="Folders that slides arrive in; their subfolders are looked at too."
    )
    artefacts: str = Field(
        default="artefacts",
        description="Folder for masks, nuclei and students. All machines need it under one path.",
    )
    shared: str = Field(
        default="",
        description="`s3://bucket/folder` or another URL of fsspec: where finished artefacts are "
        "published to and fetched from, so that machines need no folder in common. Empty: nothing "
        "is copied.",
    )
    catalogue: str = Field(
        default="",
        description="SQLite file or PostgreSQL URL of the catalogue; empty: a file in `artefacts`. "
        "Give a URL with a password as the name of an environment variable, in "
        "`catalogue_variable`.",
    )
    catalogue_variable: str = Field(
        default="",
        description="Name of the environment variable that holds the catalogue's URL. The UI shows "
        "the name and not the password.",
    )
    settle_s: float = Field(
        default=30.0, ge=0, description="Seconds a file must stay unchanged to count as complete."
    )
    mpp: MppAttribute = Field(
        default=MppRules(),
        description="The scale of slides whose files do not say it, or say it wrong, by folder and "
        "file name. It counts for files that are registered from then on and for those in "
        "quarantine, once `slide_inventory` is made again.",
    )
    staining: StainAttribute = Field(
        default=StainRules(), description="What slides are stained with, by folder and file name."
    )
    scopes: ScopeAttribute = Field(
        default=ScopeRules(),
        description="Whose promoted model slides are segmented with, by folder, name or stain.",
    )
    viewer_url: str = Field(
        default="", description="Address under which browsers reach `hoverfast view`."
    )
    pseudonyms: bool = Field(
        default=False, description="Name result files after the content, not after the file."
    )
    runs_by_itself: bool = Field(default=True, description=_RUNS_BY_ITSELF)
    lost_after_s: float = Field(
        default=120.0, gt=0, description="Silence after which a run's process is taken for gone."
    )

    @classmethod
    def get_spec(cls) -> dg.ComponentTypeSpec:
        return dg.ComponentTypeSpec(
            owners=["team:platform"],
            produces=["asset", "asset_check", "job", "sensor", "resource"],
        )

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        names = Names(self.pipeline)
        automation = Automation(is_on=self.runs_by_itself, lost_after_s=self.lost_after_s)
        catalogue = (
            dg.EnvVar(self.catalogue_variable) if self.catalogue_variable else self.catalogue
        )
        return dg.Definitions(
            assets=in_source(
                [
                    build_slide_inventory(names),
                    build_slide(names),
                    build_stain(names, self.staining),
                ]
            ),
            jobs=intake_jobs(names),
            sensors=intake_sensors(names, automation),
            resources={
                names.word("store"): ArtefactFolder(
                    root=self.artefacts,
                    shared=self.shared,
                    catalogue=catalogue or f"{self.artefacts}/{CATALOGUE_NAME}",
                    pseudonyms=self.pseudonyms,
                    viewer_url=self.viewer_url,
                    staining=self.staining.model_dump(mode="json", exclude_none=True),
                    scopes=self.scopes.model_dump(mode="json", exclude_none=True),
                ),
                names.word("slide_folders"): SlideFolders(
                    folders=list(self.folders),
                    settle_s=self.settle_s,
                    mpp=self.mpp.model_dump(mode="json"),
                ),
            },
        )


@dg.scaffold_with(SegmentationScaffolder)
class Segmentation(dg.Component, dg.Resolvable, dg.Model):
    """Every nucleus of the slides of a pipeline, within masks of usable tissue.

    Makes the assets `mask_settings`, `tissue_mask`, `segmentation_settings`, `segmentation_model`
    and `nuclei`, their checks, and the sensors that have slides segmented. Example::

        type: hoverfast_platform.Segmentation
        attributes:
          pipeline: liver
          mask: {engine: builtin, builtin: {artefacts: {pen: "off"}}}
          segmentation: {tiling: {tile_size_px: 2048}}
          checks: {density: {max_nuclei_per_mm2: 12000}}
    """

    pipeline: str = Field(default="", description=_PIPELINE)
    mask: MaskAttribute = Field(
        default=MaskSettings(), description="The engine of tissue masks, and its settings."
    )
    segmentation: SegmentationAttribute = Field(
        default=SegmentationConfig(),
        description="Model, scope, tiles, thresholds: the defaults of the launchpad.",
    )
    checks: CheckAttribute = Field(
        default=CheckPolicy(), description="Thresholds and severities of the checks."
    )
    device: str = Field(default="auto", description="`auto`, `cpu`, `cuda:0` and the like.")
    n_workers: int = Field(
        default=0, ge=0, description="Post-processing processes; 0 takes what the cores allow."
    )
    lease_dir: str = Field(
        default="",
        description="Folder of the locks that give a device to one run at a time; the same for all "
        "pipelines that share a device. Empty: in the folder of the artefacts.",
    )
    resegments: bool = Field(
        default=False, description="Whether slides are segmented again after a promotion."
    )
    nightly: str = Field(
        default="0 2 * * *",
        description="When folders and models are looked at although nothing told of a change, as "
        "cron has it.",
    )
    runs_by_itself: bool = Field(default=True, description=_RUNS_BY_ITSELF)

    @classmethod
    def get_spec(cls) -> dg.ComponentTypeSpec:
        return dg.ComponentTypeSpec(
            owners=["team:platform"],
            produces=["asset", "asset_check", "job", "schedule", "sensor", "resource"],
        )

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        cohorts = context.component_tree.get_all_components(Cohort)
        return self.definitions([c for c in cohorts if c.pipeline == self.pipeline])

    def definitions(self, cohorts: "Sequence[Cohort]" = ()) -> dg.Definitions:
        """All of it; the cohorts of the pipeline may change its model."""
        names = Names(self.pipeline)
        automation = Automation(is_on=self.runs_by_itself, resegments=self.resegments)
        launched = with_defaults(SegmentationConfig, self.segmentation.model_dump())
        promoted = [cohort.names.learning_key("promoted_model") for cohort in cohorts]
        return dg.Definitions(
            assets=[
                *in_source(
                    [
                        build_mask_settings(names, self.mask),
                        build_tissue_mask(names, self.mask, self.checks),
                        build_segmentation_settings(names, launched),
                        build_segmentation_model(names, promoted),
                        build_nuclei(names, launched, self.checks),
                    ]
                ),
                corrections_spec(names),
                label_set_spec(names),
            ],
            jobs=segmentation_jobs(names),
            schedules=[nightly(names, self.nightly, automation.schedule_status)],
            sensors=segmentation_sensors(names, automation),
            resources={
                names.word("compute"): LeasedDevice(
                    model=self.segmentation.model,
                    scope=self.segmentation.scope,
                    device=self.device,
                    n_workers=self.n_workers,
                    lease_dir=self.lease_dir,
                )
            },
        )


@dg.scaffold_with(CohortScaffolder)
class Cohort(dg.Component, dg.Resolvable, dg.Model):
    """Slides that a student learns from, and what becomes of it: labels, training, gate.

    Makes the assets from `cohort` to `promoted_model`. With a `name` and a `plan` they are of that
    cohort; without, every file `cohorts/<name>.json` in the folder of the artefacts is a partition
    of them. Example::

        type: hoverfast_platform.Cohort
        attributes:
          pipeline: liver
          name: biopsies
          plan:
            slides_like: "*_biopsy.svs"
            teacher: classical
            gate: {min_pq: 0.5}
    """

    pipeline: str = Field(default="", description=_PIPELINE)
    name: str = Field(
        default="", description="Name of the cohort; empty where the plans are files."
    )
    plan: PlanAttribute | None = Field(
        default=None, description="Which slides, who labels them, how a student is trained."
    )
    gate_severity: Literal["warn", "error"] = Field(
        default="warn", description="How a student is shown that may not be promoted."
    )
    quiet_s: float = Field(
        default=600.0,
        ge=0,
        description="Seconds a cohort must stay unchanged before a student learns from it.",
    )
    runs_by_itself: bool = Field(default=True, description=_RUNS_BY_ITSELF)

    @model_validator(mode="after")
    def _has_both_or_none(self) -> Self:
        if bool(self.name) != (self.plan is not None):
            raise ValueError("a cohort has a `name` and a `plan`, or neither: then plans are files")
        return self

    @property
    def names(self) -> Names:
        """The names of its assets."""
        return Names(self.pipeline, self.name)

    @classmethod
    def get_spec(cls) -> dg.ComponentTypeSpec:
        return dg.ComponentTypeSpec(
            owners=["team:platform"], produces=["asset", "asset_check", "job", "sensor"]
        )

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        of = Learning(self.names, self.plan, self.gate_severity)
        automation = Automation(is_on=self.runs_by_itself, quiet_s=self.quiet_s)
        return dg.Definitions(
            assets=in_source(build_learning(of)),
            jobs=learning_jobs(self.names),
            sensors=learning_sensors(of, automation),
        )


@dg.scaffold_with(StatisticsScaffolder)
class Statistics(dg.Component, dg.Resolvable, dg.Model):
    """How nuclei lie among each other, and slides and cohorts side by side; an option.

    Makes the assets `neighbourhood` and `slide_statistics`, and the sensor that keeps them up to
    date. Example::

        type: hoverfast_platform.Statistics
        attributes:
          pipeline: liver
          neighbours: {radius_um: 30}
    """

    pipeline: str = Field(default="", description=_PIPELINE)
    neighbours: NeighbourAttribute = Field(
        default=NeighbourhoodSettings(), description="What counts as a neighbour."
    )
    runs_by_itself: bool = Field(default=True, description=_RUNS_BY_ITSELF)

    @classmethod
    def get_spec(cls) -> dg.ComponentTypeSpec:
        return dg.ComponentTypeSpec(owners=["team:platform"], produces=["asset", "sensor"])

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        names = Names(self.pipeline)
        return dg.Definitions(
            assets=in_source(
                [build_neighbourhood(names, self.neighbours), build_slide_statistics(names)]
            ),
            sensors=statistics_sensors(names, Automation(is_on=self.runs_by_itself)),
        )


# `type: hoverfast_platform.SlideFolder` is what people write; `dg` learns it from here.
for _component in (SlideFolder, Segmentation, Cohort, Alerts, Statistics):
    _component.__module__ = "hoverfast_platform"
