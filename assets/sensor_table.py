"""The sensors of a pipeline, each named once: what it looks at, how often, when it is on.

What a sensor does is a function of ``assets/sensors.py`` or ``assets/learning_sensors.py``; its
docstring is what the UI shows. One more sensor is one more entry here.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import dagster as dg

from hoverfast_platform.assets.automation import Automation
from hoverfast_platform.assets.corrections import corrections_made
from hoverfast_platform.assets.label_sets import label_sets_made
from hoverfast_platform.assets.learning import Learning
from hoverfast_platform.assets.learning_sensors import (
    cohort_changes,
    model_changes,
    resegment_slides,
)
from hoverfast_platform.assets.names import Names
from hoverfast_platform.assets.sensors import lost_runs, new_slides, returned_slides

_EVERY_S = 30


def intake_sensors(names: Names, automation: Automation) -> list[dg.SensorDefinition]:
    """What looks after new files, and after runs."""
    on = automation.status
    inventory = [names.key("slide_inventory")]
    return [
        _sensor(new_slides, names, on, ("store", "slide_folders"), inventory, 15),
        _sensor(
            functools.partial(lost_runs, lost_after_s=automation.lost_after_s),
            names,
            on,
            ("store",),
        ),
    ]


def segmentation_sensors(names: Names, automation: Automation) -> list[dg.SensorDefinition]:
    """What has slides segmented."""
    on, resegments = automation.status, automation.resegment_status
    of_slides = [names.key(asset) for asset in ("slide", "tissue_mask", "nuclei")]
    settings = [names.key(a) for a in ("stain", "mask_settings", "segmentation_settings")]
    models, nuclei = [names.key("segmentation_model")], [names.key("nuclei")]
    device = ("store", "compute")
    return [
        _sensor(returned_slides, names, on, ("store",), of_slides, 60),
        _sensor(model_changes, names, on, device, models),
        _sensor(corrections_made, names, on, ("store",)),
        _sensor(label_sets_made, names, on, ("store",)),
        _sensor(resegment_slides, names, resegments, device, nuclei, 60),
        dg.AutomationConditionSensorDefinition(
            names.word("segment_slides"),
            target=dg.AssetSelection.assets(*of_slides, *settings),
            minimum_interval_seconds=_EVERY_S,
            default_status=on,
            description="Makes slide, stain, tissue_mask and nuclei of every new slide, and makes "
            "them again when an input's content changed; many slides share a run.",
        ),
    ]


def statistics_sensors(names: Names, automation: Automation) -> list[dg.SensorDefinition]:
    """What keeps neighbourhoods and tables of slides up to date."""
    made = [names.key(asset) for asset in ("neighbourhood", "slide_statistics")]
    return [
        dg.AutomationConditionSensorDefinition(
            names.word("count_slides"),
            target=dg.AssetSelection.assets(*made),
            minimum_interval_seconds=_EVERY_S,
            default_status=automation.status,
            description="Measures the neighbourhood of new nuclei, and tells slides and cohorts "
            "side by side, at most once an hour.",
        )
    ]


def learning_sensors(of: Learning, automation: Automation) -> list[dg.SensorDefinition]:
    """What has students trained, measured and promoted."""
    names, on = of.names, automation.status
    plans = {names.cohort: of.plan} if of.plan is not None else None
    follow = ("teacher_labels", "student_model", "model_evaluation", "promoted_model")
    return [
        _sensor(
            functools.partial(cohort_changes, plans=plans, quiet_s=automation.quiet_s),
            names,
            on,
            ("store",),
            [
                names.learning_key(asset)
                for asset in ("cohort", "model_evaluation", "promoted_model")
            ],
        ),
        dg.AutomationConditionSensorDefinition(
            names.learning_word("learn_from_cohorts"),
            target=dg.AssetSelection.assets(*map(names.learning_key, follow)),
            minimum_interval_seconds=_EVERY_S,
            default_status=on,
            description="Labels, trains, measures and, if the gate lets it pass, promotes, in one "
            "run per new version of a cohort.",
        ),
    ]


def _sensor(
    look: Callable[..., Any],
    names: Names,
    status: dg.DefaultSensorStatus,
    resources: Sequence[str],
    target: Sequence[dg.AssetKey] = (),
    every_s: int = _EVERY_S,
) -> dg.SensorDefinition:
    """A function that Dagster calls every so many seconds; it may ask for runs of the target.

    Args:
        look: The function; it takes the context and the resources in order.
        names: Name of the pipeline.
        status: Whether it runs before anybody switched it in the UI.
        resources: What it is given.
        target: What it may ask for.
        every_s: Seconds between looks.
    """
    told = look.func if isinstance(look, functools.partial) else look

    def evaluate(context: dg.SensorEvaluationContext) -> Any:
        given = [getattr(context.resources, names.word(resource)) for resource in resources]
        return look(context, *given, names=names)

    return dg.SensorDefinition(
        name=names.learning_word(told.__name__),
        evaluation_fn=evaluate,
        required_resource_keys=names.needs(*resources),
        target=dg.AssetSelection.assets(*target) if target else None,
        minimum_interval_seconds=every_s,
        default_status=status,
        description=inspect.getdoc(told),
    )
