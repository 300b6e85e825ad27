"""Jobs by name, so that a person finds them on the Jobs page, and what is done every night.

What follows from a new file or a changed cohort is asked for by sensors; a job is for people, for
scripts and for the night.
"""

from __future__ import annotations

import datetime

import dagster as dg
from dagster import AssetSelection

from hoverfast_platform.assets.names import Names

_OF_A_SLIDE = ("slide", "stain", "tissue_mask", "nuclei")
_OF_A_COHORT = ("cohort", "teacher_labels", "student_model", "model_evaluation", "promoted_model")

NIGHTLY_FRESHNESS = dg.FreshnessPolicy.time_window(
    warn_window=datetime.timedelta(hours=26), fail_window=datetime.timedelta(hours=50)
)
"""A warning when one night was missed, a failure when two were."""


def intake_jobs(names: Names) -> list[dg.UnresolvedAssetJobDefinition]:
    """What a person starts to take slides in."""
    return [
        _job(
            names.word("take_in_slides"),
            "Looks through the watched folders now, and judges files in quarantine again.",
            [names.key("slide_inventory")],
        )
    ]


def segmentation_jobs(names: Names) -> list[dg.UnresolvedAssetJobDefinition]:
    """What a person starts for slides."""
    return [
        _job(
            names.word("make_masks"),
            "Opens slides and finds their usable tissue; their nuclei are not looked for.",
            [names.key(asset) for asset in ("slide", "tissue_mask")],
        ),
        _job(
            names.word("record_settings"),
            "Records the settings that masks and nuclei are made with, as they are now.",
            [names.key(asset) for asset in ("mask_settings", "segmentation_settings")],
        ),
        _job(
            names.word("find_nuclei"),
            "Everything from the file to the nuclei of slides; what is done is not done again.",
            [names.key(asset) for asset in _OF_A_SLIDE],
        ),
    ]


def learning_jobs(names: Names) -> list[dg.UnresolvedAssetJobDefinition]:
    """What a person starts for a cohort."""
    return [
        _job(
            names.learning_word("learn_from_cohort"),
            "Labels, trains, measures and, if the gate lets it pass, promotes.",
            [names.learning_key(asset) for asset in _OF_A_COHORT],
        )
    ]


def nightly(names: Names, cron: str, status: dg.DefaultScheduleStatus) -> dg.ScheduleDefinition:
    """The schedule of what is looked at every night.

    Args:
        names: Of the pipeline.
        cron: When.
        status: Whether it runs before anybody switched it in the UI.
    """
    job = _job(
        names.word("nightly_look"),
        "Looks through the watched folders and at the models in use, also where nothing told of a "
        "change: files in quarantine are judged again, missing and replaced files are listed.",
        [names.key("slide_inventory"), names.key("segmentation_model")],
    )
    return dg.ScheduleDefinition(
        name=names.word("nightly"),
        job=job,
        cron_schedule=cron,
        default_status=status,
        description=job.description,
    )


def _job(name: str, description: str, assets: list[dg.AssetKey]) -> dg.UnresolvedAssetJobDefinition:
    return dg.define_asset_job(
        name, selection=AssetSelection.assets(*assets), description=description
    )
