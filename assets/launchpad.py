"""What the launchpad offers: the settings of a pipeline as defaults, each to be changed for a run.

The fields and their texts are the engine's own. An override is for that run only: it is written
into the run's tags and into what was made, and what was made so is another result.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

import dagster as dg
from pydantic import Field, create_model

from hoverfast_platform.config import (
    ArtefactDetection,
    HistoQc,
    InstanceDecoding,
    MaskImport,
    MaskSettings,
    Outlines,
    Scale,
    SegmentationSettings,
    Staining,
    Tiling,
    TissueDetection,
)

OVERRIDE_TAG = "hoverfast/override"

_Config = TypeVar("_Config", bound=dg.Config)


class TilingConfig(dg.Config, Tiling):
    """How slides are cut for prediction."""


class DecodingConfig(dg.Config, InstanceDecoding):
    """How the foreground is split into nuclei."""


class OutlinesConfig(dg.Config, Outlines):
    """How polygons follow the pixels."""


class SegmentationConfig(dg.Config):
    """Everything besides slide, stain and mask that decides which nuclei come out."""

    model: str = Field(
        default="",
        description="Name or file of the model; empty takes the one that is promoted in the "
        "slide's scope, or the one that ships.",
    )
    scope: str = Field(
        default="",
        description="Whose promoted model is taken for all slides; empty takes each slide's own.",
    )
    max_upsampling: float = Field(
        default=Scale().max_upsampling, description=Scale.model_fields["max_upsampling"].description
    )
    tiling: TilingConfig = Field(
        default=TilingConfig(), description="How slides are cut for prediction."
    )
    decoding: DecodingConfig = Field(
        default=DecodingConfig(), description="How the foreground is split into nuclei."
    )
    outlines: OutlinesConfig = Field(
        default=OutlinesConfig(), description="How polygons follow the pixels."
    )

    def settings(self, scale: Scale, staining: Staining) -> SegmentationSettings:
        """The engine's settings for one slide."""
        return SegmentationSettings(
            scale=Scale(mpp_override=scale.mpp_override, max_upsampling=self.max_upsampling),
            tiling=Tiling(**self.tiling.model_dump()),
            decoding=InstanceDecoding(**self.decoding.model_dump()),
            outlines=Outlines(**self.outlines.model_dump()),
            staining=staining,
        )


class ArtefactConfig(dg.Config, ArtefactDetection):
    """What counts as artefact, and what is done about it."""

    pen_colours: list[str] = Field(  # type: ignore[assignment]  # Dagster knows no tuples
        default=list(ArtefactDetection().pen_colours),
        description=ArtefactDetection.model_fields["pen_colours"].description,
    )


class TissueConfig(dg.Config, TissueDetection):
    """What the built-in engine counts as tissue."""

    artefacts: ArtefactConfig = Field(
        default=ArtefactConfig(), description="What is taken away from the tissue again."
    )


class HistoQcConfig(dg.Config, HistoQc):
    """How an installed HistoQC is called."""

    command: list[str] = Field(  # type: ignore[assignment]
        default=list(HistoQc().command), description=HistoQc.model_fields["command"].description
    )


class MaskImportConfig(dg.Config, MaskImport):
    """What a mask image of another program does not say of itself."""

    tissue_levels: list[int] = Field(  # type: ignore[assignment]
        default=[], description=MaskImport.model_fields["tissue_levels"].description
    )


class MaskConfig(dg.Config):
    """Which engine makes tissue masks, and its settings."""

    engine: Literal["builtin", "histoqc", "import"] = Field(
        default="builtin", description=MaskSettings.model_fields["engine"].description
    )
    import_from: str = Field(
        default="", description=MaskSettings.model_fields["import_from"].description
    )
    regions_from: str = Field(
        default="", description=MaskSettings.model_fields["regions_from"].description
    )
    builtin: TissueConfig = Field(default=TissueConfig(), description="For the engine `builtin`.")
    histoqc: HistoQcConfig = Field(default=HistoQcConfig(), description="For `histoqc`.")
    imported: MaskImportConfig = Field(default=MaskImportConfig(), description="For `import`.")

    def settings(self) -> MaskSettings:
        """The engine's settings."""
        return MaskSettings.model_validate(self.model_dump())


def with_defaults(kind: type[_Config], defaults: Mapping[str, Any]) -> type[_Config]:
    """The same configuration with other defaults, which the launchpad shows.

    Args:
        kind: The configuration.
        defaults: Plain values by field; a nested configuration is a mapping.
    """
    made = kind.model_validate(dict(defaults))
    fields: dict[str, Any] = {}
    for name, field in kind.model_fields.items():
        default, annotation = getattr(made, name), field.annotation
        if isinstance(default, dg.Config):
            # A person who changes one nested field keeps the pipeline's defaults of the others.
            annotation = with_defaults(type(default), default.model_dump())
            default = annotation()
        fields[name] = (annotation, Field(default=default, description=field.description))
    return create_model(kind.__name__, __base__=kind, **fields)


def read_config(context: dg.AssetExecutionContext, kind: type[_Config]) -> _Config:
    """What this run is to use; what differs from the defaults becomes a tag of the run."""
    config = kind.model_validate(context.op_execution_context.op_config)
    override = overridden(config)
    if override:
        context.log.info("Given for this run: %s", override)
        context.instance.add_run_tags(context.run.run_id, {OVERRIDE_TAG: json.dumps(override)})
    return config


def overridden(config: dg.Config) -> dict[str, Any]:
    """What a configuration says otherwise than its defaults."""
    return _difference(config.model_dump(mode="json"), type(config)().model_dump(mode="json"))


def _difference(given: Mapping[str, Any], default: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in given.items():
        if isinstance(value, dict) and isinstance(default.get(name), dict):
            inner = _difference(value, default[name])
            if inner:
                found[name] = inner
        elif value != default.get(name):
            found[name] = value
    return found


def effective(settings: MaskSettings) -> dict[str, Any]:
    """What of mask settings has an effect: those of the engine that is used, and regions."""
    used = {
        "builtin": {"builtin"},
        "histoqc": {"histoqc"},
        "import": {"imported", "import_from"},
    }[settings.engine]
    return settings.model_dump(mode="json", include={"engine", "regions_from"} | used)
