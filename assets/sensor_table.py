"""All sensors of the platform, each named once: what it looks at, how often, when it is on.

What a sensor does is a function of ``assets/sensors.py`` or ``assets/learning_sensors.py``; its
docstring is what the UI shows. One more sensor is one more entry here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import dagster as dg

from hoverfast_platform.assets.automation import Automation
from hoverfast_platform.assets.corrections import corrections_made
from hoverfast_platform.assets.learning import cohort
from hoverfast_platform.assets.learning_sensors import (
    cohort_changes,
    model_changes,
    resegment_slides,
)
from hoverfast_platform.assets.segmentation import nuclei
from hoverfast_platform.assets.segmentation_model import segmentation_model
from hoverfast_platform.assets.sensors import lost_runs, new_slides, returned_slides
from hoverfast_platform.assets.slide_inventory import slide_inventory
from hoverfast_platform.assets.slides import slide
from hoverfast_platform.assets.tissue_masks import tissue_mask

_EVERY_S = 30


def build_sensors(automation: Automation) -> list[dg.SensorDefinition]:
    """All sensors, on or off as the deployment says."""
    on, resegments = automation.status, automation.resegment_status
    return [
        _sensor(new_slides, on, target=[slide_inventory], every_s=15),
        _sensor(returned_slides, on, target=[slide, tissue_mask, nuclei], every_s=60),
        _sensor(lost_runs, on),
        _sensor(corrections_made, on),
        _sensor(cohort_changes, on, target=[cohort]),
        _sensor(model_changes, on, target=[segmentation_model]),
        _sensor(resegment_slides, resegments, target=[nuclei], every_s=60),
        dg.AutomationConditionSensorDefinition(
            "segment_slides",
            target=dg.AssetSelection.assets("slide", "tissue_mask", "nuclei"),
            minimum_interval_seconds=_EVERY_S,
            default_status=on,
            description="Makes slide, tissue_mask and nuclei of every new slide, and makes them "
            "again when an input's content changed; many slides share a run.",
        ),
        dg.AutomationConditionSensorDefinition(
            "learn_from_cohorts",
            target=dg.AssetSelection.assets(
                "teacher_labels", "student_model", "model_evaluation", "promoted_model"
            ),
            minimum_interval_seconds=_EVERY_S,
            default_status=on,
            description="Labels, trains, measures and, if the gate lets it pass, promotes, in one "
            "run per new version of a cohort.",
        ),
    ]


def _sensor(
    look: Callable[..., Any],
    status: dg.DefaultSensorStatus,
    *,
    target: Sequence[dg.AssetsDefinition] = (),
    every_s: int = _EVERY_S,
) -> dg.SensorDefinition:
    """A function that Dagster calls every so many seconds; it may ask for runs of the target."""
    return dg.sensor(
        target=list(target) or None,
        minimum_interval_seconds=every_s,
        default_status=status,
        description=inspect.getdoc(look),
    )(look)
